"""asyncio in virtual time: the loop, its handles, and the wall to the real machine."""
