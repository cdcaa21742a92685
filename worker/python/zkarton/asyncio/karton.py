"""The services for asyncio, where karton-core has them."""
from .service import Consumer, Karton, Producer

__all__ = ["Consumer", "Karton", "Producer"]
