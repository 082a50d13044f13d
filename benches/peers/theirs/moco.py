"""MoCo v2 as one trains it in PyTorch on one device: torchvision's ResNet-18 for small images, the
authors' split batch norm, momentum encoder and queue (facebookresearch/moco, its CIFAR-10
demonstration). Parameters have the reference's names, so the other side's weights load as they
are.
"""

import copy
import json
import time

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

# The other side's loss of the same weights, views and order: equal but for the order of sums.
TOLERANCE = 1e-4


class SplitBatchNorm(nn.BatchNorm2d):
    """The demonstration's: sample i with those of equal i mod `splits`."""

    splits = 1

    def forward(self, x):
        n, c, h, w = x.shape
        if not self.training or self.splits == 1:
            return super().forward(x)
        mean, var = self.running_mean.repeat(self.splits), self.running_var.repeat(self.splits)
        out = F.batch_norm(
            x.view(-1, c * self.splits, h, w), mean, var,
            self.weight.repeat(self.splits), self.bias.repeat(self.splits),
            True, self.momentum, self.eps,
        ).view(n, c, h, w)
        self.running_mean.data.copy_(mean.view(self.splits, c).mean(0))
        self.running_var.data.copy_(var.view(self.splits, c).mean(0))
        return out


class Encoder(ResNet):
    """ResNet-18 of any width for images of 32 pixels, with MoCo's head."""

    def __init__(self, width, dim, hidden):
        self.first = width
        super().__init__(BasicBlock, [2, 2, 2, 2], norm_layer=SplitBatchNorm)
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = SplitBatchNorm(width)
        self.maxpool = nn.Identity()
        inner = [nn.Linear(8 * width, hidden), nn.ReLU(), nn.Linear(hidden, dim)]
        self.fc = nn.Sequential(*inner) if hidden else nn.Linear(8 * width, dim)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = self.first
        return super()._make_layer(block, planes * self.first // 64, blocks, stride, dilate)


class MoCo(nn.Module):
    """From u8 pixels [B, C, H, W] of two views to the loss."""

    def __init__(self, config, mean, std, queue):
        super().__init__()
        assert config["method"] == "moco" and not config["symmetric"]
        assert config["encoder"]["depth"] == "resnet18" and config["encoder"]["stem"] == "small"
        SplitBatchNorm.splits = config["splits"]
        self.encoder = Encoder(config["encoder"]["width"], config["dim"], config["hidden"])
        self.temperature, self.kept, self.place = config["temperature"], config["momentum"], 0
        self.register_buffer("queue", queue.clone(), persistent=False)
        for name, values in [("mean", mean), ("std", std)]:
            values = 255 * torch.tensor(values).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def begin(self, weights):
        self.encoder.load_state_dict(weights, strict=False)
        self.follower = copy.deepcopy(self.encoder)
        self.follower.requires_grad_(False)

    def forward(self, first, second, order):
        x, y = ((pixels.float() - self.mean) / self.std for pixels in (first, second))
        query = F.normalize(self.encoder(x), dim=1)
        with torch.no_grad():
            key = F.normalize(self.follower(y[order]), dim=1)[torch.argsort(order)]
        own = torch.einsum("nc,nc->n", query, key).unsqueeze(-1)
        others = torch.einsum("nc,ck->nk", query, self.queue)
        logits = torch.cat([own, others], dim=1) / self.temperature
        loss = F.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.long))
        return loss, key

    @torch.no_grad()
    def after(self, key):
        for leader, own in zip(self.encoder.parameters(), self.follower.parameters()):
            own.data = own.data * self.kept + leader.data * (1.0 - self.kept)
        self.queue[:, self.place : self.place + len(key)] = key.t()
        self.place = (self.place + len(key)) % self.queue.shape[1]


def measure(arguments):
    """`variant` is the precision, `way` is eager or compile."""
    shared = arguments.shared
    setting = json.loads((shared / "setting.json").read_text())
    views = load_file(shared / "views.safetensors")
    config = setting["model"]["siamese"]
    weights = load_file(shared / "weights.safetensors")
    check(config, setting, views, weights)

    model = MoCo(config, setting["mean"], setting["std"], views["queue"])
    model.begin(weights)
    trained = list(model.encoder.parameters())
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": setting["weight_decay"]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=setting["lr"], momentum=0.9)
    run = torch.compile(model) if arguments.way == "compile" else model
    bf16 = torch.autocast("cpu", torch.bfloat16, enabled=arguments.variant == "bf16")
    batches = [(views[f"{i}.first"], views[f"{i}.second"]) for i in range(4)]

    seconds, losses = [], []
    for step in range(setting["warm_up"] + arguments.steps):
        first, second = batches[step % len(batches)]
        start = time.perf_counter()
        # Drawn out here: Inductor 2.11 fails to compile a permutation that is drawn and used inside.
        order = torch.randperm(len(second))
        with bf16:
            loss, key = run(first, second, order)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.after(key.float())
        seconds.append(time.perf_counter() - start)
        losses.append(loss.detach())
    seconds, losses = seconds[setting["warm_up"] :], losses[setting["warm_up"] :]
    ends = [losses[0].item(), losses[-1].item()]
    return {"seconds": seconds, "unit": "images", "items": len(batches[0][0]), "losses": ends}


def check(config, setting, views, weights):
    """Refuses to compare two different computations: parts of a batch are neighbours there, and
    images `splits` apart here."""
    model = MoCo(config, setting["mean"], setting["std"], views["queue"])
    model.begin(weights)
    samples, splits = len(views["0.first"]), config["splits"]
    dealt = torch.arange(samples).view(splits, -1).t().reshape(-1)
    # Place i of the order there is place `dealt` of the order here, of images that lie elsewhere.
    order = torch.argsort(dealt)[views["0.order"]][dealt]
    with torch.no_grad():
        loss, _ = model(views["0.first"][dealt], views["0.second"][dealt], order)
    expected = setting["loss_of_noise"]
    if abs(loss.item() / expected - 1) > TOLERANCE:
        raise SystemExit(f"the loss of the same weights and views is {loss.item()}, not {expected}")
