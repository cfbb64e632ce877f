"""Whose call it is: what a tenant is made of, and where tenants are looked up."""
