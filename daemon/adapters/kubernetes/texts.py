"""Texts of unknown length (a pod's log), of which only the end is wanted and fits."""

import aiohttp


async def last(content: aiohttp.StreamReader, most: int) -> tuple[bytes, bool]:
    """The last ``most`` bytes of what comes, and whether more came before. Never holds more than about twice that."""
    kept = bytearray()
    cut = False
    async for chunk in content.iter_any():
        kept += chunk
        if len(kept) > 2 * most:
            del kept[:-most]
            cut = True
    return bytes(kept[-most:]), cut or len(kept) > most
