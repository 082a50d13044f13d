"""The masks of a batch as the MAE reference makes them: argsort, argsort, gather."""

import time

import torch

BATCH = 256
RATIO = 0.75

# As on the other side.
PLANS_A_STEP = 10
WARM_UP = 20


def measure(arguments):
    """`variant` is draw-TOKENS or noise-TOKENS: with or without drawing the noise."""
    how, tokens = arguments.variant.split("-")
    tokens = int(tokens)
    given = torch.rand(BATCH, tokens)
    seconds = []
    for _ in range(WARM_UP + PLANS_A_STEP * arguments.steps):
        start = time.perf_counter()
        masks(torch.rand(BATCH, tokens) if how == "draw" else given)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[WARM_UP:], "unit": "samples", "items": BATCH}


def masks(noise):
    """Visible indices, restore permutation and mask."""
    batch, tokens = noise.shape
    keep = int(tokens * (1 - RATIO))
    ids_shuffle = torch.argsort(noise, dim=1)
    ids_restore = torch.argsort(ids_shuffle, dim=1)
    mask = torch.ones(batch, tokens)
    mask[:, :keep] = 0
    return ids_shuffle[:, :keep], ids_restore, torch.gather(mask, 1, ids_restore)
