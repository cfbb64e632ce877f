"""Ground floor: typed settings, the profiles and the tenants that ship with the product."""
