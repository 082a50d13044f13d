"""MAE-ST as one writes it in PyTorch today: timm's blocks, the reference's masking.

After facebookresearch/mae_st, models_mae.py (Feichtenhofer et al., arXiv 2205.09113), with
timm's present `Block`, whose attention is one qkv product and the fused
`scaled_dot_product_attention`. Other parameters have the reference's names, so the other
side's weights load as they are.
"""

from functools import partial

import torch
from torch import nn

try:
    from timm.models.vision_transformer import Block
except ImportError:
    from blocks import Block


class PatchEmbed(nn.Module):
    """Clips [B, C, T, H, W] to tokens [B, L, D], by one convolution as in the reference."""

    def __init__(self, channels, dim, patch):
        super().__init__()
        self.proj = nn.Conv3d(channels, dim, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class MaeSt(nn.Module):
    """From u8 pixels [B, C, T, H, W] to the loss on masked patches."""

    def __init__(self, config, mean, std):
        super().__init__()
        dim, decoder_dim = config["hidden_size"], config["decoder_hidden_size"]
        self.ratio, channels = config["mask_ratio"], config["num_channels"]
        self.side, step = config["patch_size"], config["tubelet_size"]
        frames, predicted = config["num_frames"], config["num_predicted_frames"]
        self.steps, places = frames // step, (config["image_size"] // self.side) ** 2
        assert config["norm_pix_loss"] and config["hidden_act"] == "gelu"
        assert config["positions"] == config["decoder_positions"] == "separable"
        assert config["decoder_class_token"] == "own" and config["target_frames"] == "linspace"

        norm = partial(nn.LayerNorm, eps=config["layer_norm_eps"])
        options = {"qkv_bias": config["qkv_bias"], "norm_layer": norm}
        self.patch_embed = PatchEmbed(channels, dim, (step, self.side, self.side))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, places, dim))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, self.steps, dim))
        self.pos_embed_class = nn.Parameter(torch.zeros(1, 1, dim))
        ratio = config["intermediate_size"] / dim
        self.blocks = nn.ModuleList(
            Block(dim, config["num_attention_heads"], ratio, **options)
            for _ in range(config["num_hidden_layers"])
        )
        self.norm = norm(dim)

        self.decoder_embed = nn.Linear(dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.decoder_cls_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.decoder_pos_embed_spatial = nn.Parameter(torch.zeros(1, places, decoder_dim))
        self.decoder_pos_embed_temporal = nn.Parameter(torch.zeros(1, self.steps, decoder_dim))
        self.decoder_pos_embed_class = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_dim, config["decoder_num_attention_heads"], 4, **options)
            for _ in range(config["decoder_num_hidden_layers"])
        )
        self.decoder_norm = norm(decoder_dim)
        values = predicted // self.steps * self.side**2 * channels
        self.decoder_pred = nn.Linear(decoder_dim, values)

        chosen = torch.linspace(0, frames - 1, predicted).long()
        self.register_buffer("chosen", chosen, persistent=False)
        for name, values in [("mean", mean), ("std", std)]:
            values = 255 * torch.tensor(values).view(1, -1, 1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels, noise=None):
        clips = (pixels.float() - self.mean) / self.std
        x, mask, ids_restore, ids_keep = self.random_masking(self.patch_embed(clips), noise)
        positions = self.positions(self.pos_embed_spatial, self.pos_embed_temporal)
        positions = positions.expand(len(x), -1, -1)
        x = x + torch.gather(positions, 1, ids_keep.unsqueeze(-1).expand(-1, -1, x.shape[2]))
        cls_token = (self.cls_token + self.pos_embed_class).expand(len(x), -1, -1)
        x = torch.cat([cls_token, x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)[:, 1:]

        x = self.decoder_embed(x)
        mask_tokens = self.mask_token.expand(len(x), mask.shape[1] - x.shape[1], -1)
        x = torch.cat([x, mask_tokens.to(x.dtype)], dim=1)
        x = torch.gather(x, 1, ids_restore.unsqueeze(-1).expand(-1, -1, x.shape[2]))
        x = x + self.positions(self.decoder_pos_embed_spatial, self.decoder_pos_embed_temporal)
        cls_token = self.decoder_cls_token + self.decoder_pos_embed_class
        x = torch.cat([cls_token.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        prediction = self.decoder_pred(self.decoder_norm(x))[:, 1:]

        target = self.patchify(clips.index_select(2, self.chosen))
        mean = target.mean(dim=-1, keepdim=True)
        var = target.var(dim=-1, keepdim=True)
        target = (target - mean) / (var + 1e-6) ** 0.5
        loss = ((prediction - target) ** 2).mean(dim=-1)
        return (loss * mask).sum() / mask.sum()

    def positions(self, spatial, temporal):
        """Token t · S + s has spatial[s] + temporal[t]."""
        places = spatial.shape[1]
        return spatial.repeat(1, self.steps, 1) + temporal.repeat_interleave(places, dim=1)

    def random_masking(self, x, noise):
        """The reference's: noise decides which tokens stay, and in what order."""
        batch, tokens, dim = x.shape
        keep = int(tokens * (1 - self.ratio))
        if noise is None:
            noise = torch.rand(batch, tokens, device=x.device)
        ids_shuffle = torch.argsort(noise, dim=1)
        ids_restore = torch.argsort(ids_shuffle, dim=1)
        ids_keep = ids_shuffle[:, :keep]
        x = torch.gather(x, 1, ids_keep.unsqueeze(-1).expand(-1, -1, dim))
        mask = torch.ones(batch, tokens, device=x.device)
        mask[:, :keep] = 0
        return x, torch.gather(mask, 1, ids_restore), ids_restore, ids_keep

    def patchify(self, frames):
        batch, channels, count, height, width = frames.shape
        p, h, w = self.side, height // self.side, width // self.side
        x = frames.reshape(batch, channels, self.steps, count // self.steps, h, p, w, p)
        return x.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, self.steps * h * w, -1)
