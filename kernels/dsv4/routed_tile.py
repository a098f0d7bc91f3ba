"""The form of `expert_routed` that the composed kernels use, chosen before they are built.

`--routed-tile 32` on the command line takes the form with 32 rows, `--routed-tile 48` the one with 48; without it
`config.ROUTED_TILE_ROWS` decides.
"""

import sys

import config


def asked_rows(argv: list[str]) -> int | None:
    """The rows that `--routed-tile` asks for, None without the flag. The flag's parser refuses other values."""
    words = [word for item in argv for word in item.split("=", 1)]
    if "--routed-tile" not in words[:-1]:
        return None
    given = words[words.index("--routed-tile") + 1]
    return int(given) if given in ("32", "48") else None


ROUTED_TILE_ROWS = asked_rows(sys.argv[1:]) or config.ROUTED_TILE_ROWS
if ROUTED_TILE_ROWS == 32:
    from expert_routed_split import expert_routed
else:
    from expert_routed import expert_routed

__all__ = ["ROUTED_TILE_ROWS", "asked_rows", "expert_routed"]
