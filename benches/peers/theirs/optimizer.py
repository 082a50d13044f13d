"""The AdamW step alone, over the tensors of ViT-B/16 and MAE's decoder."""

import json
import time

import torch


def measure(arguments):
    """`way` is fused or foreach."""
    setting = json.loads((arguments.shared / "setting.json").read_text())
    groups = []
    for name, decay in [("decayed", setting["weight_decay"]), ("rest", 0.0)]:
        parameters = [torch.nn.Parameter(torch.randn(shape) * 0.02) for shape in setting[name]]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter) * 1e-3
        groups.append({"params": parameters, "weight_decay": decay})
    optimizer = torch.optim.AdamW(
        groups,
        lr=setting["lr"],
        betas=setting["betas"],
        eps=setting["eps"],
        **{arguments.way: True},
    )
    seconds = []
    for _ in range(setting["warm_up"] + arguments.steps):
        start = time.perf_counter()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    items = sum(p.numel() for group in groups for p in group["params"])
    return {"seconds": seconds[setting["warm_up"] :], "unit": "parameters", "items": items}
