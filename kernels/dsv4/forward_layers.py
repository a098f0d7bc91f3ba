"""How many layers a forward pass has, chosen before its kernels are built: `--layers N` on the command line.

Layers 0 and 1 have SWA, then CSA and HCA follow in turn, and the last has CSA: N is odd and at least 5. Without the
flag `config.FORWARD_LAYERS` decides. The whole model has 43.
"""

import sys

import config


def asked_layers(argv: list[str]) -> int | None:
    """The layers that `--layers` asks for, None without the flag. The flag's parser refuses what cannot be."""
    words = [word for item in argv for word in item.split("=", 1)]
    if "--layers" not in words[:-1]:
        return None
    given = words[words.index("--layers") + 1]
    return int(given) if given.isdecimal() and possible(int(given)) else None


def possible(layers: int) -> bool:
    """Whether a pass of so many layers exists."""
    return layers % 2 == 1 and 5 <= layers <= config.FLASH.num_hidden_layers


LAYERS = asked_layers(sys.argv[1:]) or config.FORWARD_LAYERS
HCA_LAYERS = (LAYERS - 3) // 2
CSA_LAYERS = HCA_LAYERS + 1
