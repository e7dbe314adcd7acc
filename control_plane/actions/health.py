"""Whether this process can do its work."""

from control_plane.context import Visitor


async def check(visitor: Visitor) -> None:
    """Asks the database something. Raises `StoreUnavailable`."""
    async with visitor.services.store.read() as view:
        await view.heads([])
