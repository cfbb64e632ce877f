"""Where tenants are looked up: by name, or by the number the caller dialled.

`YamlTenantStore` reads a folder of `*.yaml` once, at start; a store on PostgreSQL fits the same Protocol.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from configs.settings import TENANTS
from configs.strict import BadSettingsFile, read_yaml
from deployments.contracts.errors import NotAllowed, NotFound
from serve_app.tenants.models import Tenant, as_e164


class TenantStore(Protocol):
    """Raises `NotFound("tenant_unknown")` and `NotAllowed("tenant_inactive")` (403)."""

    async def by_id(self, tenant: str) -> Tenant: ...

    async def by_number(self, dialled: str) -> Tenant:
        """`dialled` in any usual writing of an international number."""
        ...

    async def all(self) -> tuple[Tenant, ...]:
        """Every tenant, inactive ones too, by id."""
        ...


class YamlTenantStore:
    """Tenants from a folder of YAML files, one file each."""

    def __init__(self, folder: str | Path = "") -> None:
        """An empty `folder` means the tenants that ship with the product. Raises `BadSettingsFile`."""
        self._folder = Path(folder) if str(folder) else TENANTS
        self._tenants: dict[str, Tenant] = {}
        self._by_number: dict[str, str] = {}
        files = sorted(self._folder.glob("*.yaml"))
        if not files:
            raise BadSettingsFile(f"{self._folder}: no tenant files (*.yaml) in this folder")
        for file in files:
            self._add(file)

    def _add(self, file: Path) -> None:
        tenant = read_yaml(Tenant, file)
        if tenant.id in self._tenants:
            raise BadSettingsFile(f"{file}: id: {tenant.id!r} is the id of another tenant file too")
        for place, number in enumerate(tenant.numbers):
            owner = self._by_number.setdefault(number, tenant.id)
            if owner != tenant.id:
                raise BadSettingsFile(f"{file}: numbers.{place}: {number} belongs to the tenant {owner!r} already")
        if tenant.documents is not None:
            folder = (file.parent / tenant.documents).resolve()
            if not folder.is_dir():
                raise BadSettingsFile(f"{file}: documents: no such folder: {folder}")
            tenant = tenant.model_copy(update={"documents": folder})
        self._tenants[tenant.id] = tenant

    async def by_id(self, tenant: str) -> Tenant:
        found = self._tenants.get(tenant)
        if found is None:
            raise NotFound("tenant_unknown", f"there is no tenant {tenant[:64]!r}", "routing")
        return _if_active(found)

    async def by_number(self, dialled: str) -> Tenant:
        number = as_e164(dialled)
        owner = self._by_number.get(number) if number else None
        if owner is None:
            raise NotFound("tenant_unknown", f"no tenant has the number {dialled[:64]!r}", "routing")
        return _if_active(self._tenants[owner])

    async def all(self) -> tuple[Tenant, ...]:
        return tuple(self._tenants[tenant] for tenant in sorted(self._tenants))


def _if_active(tenant: Tenant) -> Tenant:
    if not tenant.active:
        raise NotAllowed("tenant_inactive", f"the tenant {tenant.id!r} takes no calls", "routing", status=403)
    return tenant
