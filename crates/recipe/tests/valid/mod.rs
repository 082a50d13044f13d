//! The recipe that the tests start from.

/// Valid, with most keys written; the tests count on its line numbers.
pub const RECIPE: &str = r#"system = "mae"
seed = 7
[about]
summary = "a test"
paper = "none"
minutes = 1.0
machine = "any"
metric = "linear_top1"

[data]
name = "cifar10"
image_size = 32

[model]
patch_size = 4
dim = 64
depth = 2
heads = 4

[decoder]
dim = 32
depth = 1
heads = 4
[mask]
strategy = "random"
ratio = 0.75
[target]
kind = "pixels"
[train]
epochs = 4
batch_size = 128
base_lr = 1.0e-3
betas = [0.9, 0.95]

[quick]
"train.epochs" = 1
"data.limit" = 1280
"#;
