//! A valid recipe of every system.

use crate::valid;

const DISTILLING: &str = r#"
[teacher]
kind = "random"
[target]
kind = "features"
[target.features]
normalization = "standardize"
loss = "smooth-l1"
"#;

/// A recipe of tasks shares few tables with the valid one.
fn exssnet() -> String {
    let (head, _) = valid::RECIPE.split_once("[model]").unwrap();
    let (_, train) = valid::RECIPE.split_once("[train]").unwrap();
    let (train, _) = train.split_once("[eval").unwrap_or((train, ""));
    let own = "[tasks]\norigin = \"split\"\n[model]\nnetwork = \"resnet18\"\n\
               [mask]\ndensity = 0.1\n[learning]\nweight_epochs = 1\nweight_lr = 0.01\n";
    let head = head.replace("system = \"mae\"", "system = \"exssnet\"");
    format!("{head}{own}[train]\nweight_decay = 0\n{train}")
}

/// The tables of a system without images.
const PARTS: &str = "[data]\nname = \"generated\"\n[model]\ndim = 16\n[decoder]\ndim = 32\n\
                     depth = 3\n[train]";

/// The tables of a system of clips with sound.
const SOUNDING: &str = "[data]\nname = \"moving-stamps\"\n[model]\ndim = 16\n[train]";

/// The valid recipe as one of another system.
pub fn recipe_of(system: &str) -> String {
    let text = valid::RECIPE.replace("system = \"mae\"", &format!("system = \"{system}\""));
    let distilling = text.replace("[target]\nkind = \"pixels\"\n", DISTILLING);
    let decoder = "[decoder]\ndim = 32\ndepth = 1\nheads = 4\n";
    match system {
        "dbot" => distilling.replace("[train]", "[stages]\n[train]"),
        "maskdistill" => distilling.replace(decoder, ""),
        "mae-st" => text
            .replace("\"cifar10\"", "\"moving-mnist\"")
            .replace("[model]\n", "[model]\npatch_frames = 2\n"),
        "i-mae" => {
            text.replace("[train]", "[mixture]\nlatent_weight = 0\ninit = \"random\"\n[train]")
        }
        "m3ae" => text.replace("\"cifar10\"", "\"tuxpaint-stamps\""),
        "exssnet" => exssnet(),
        "mixmask" => {
            let (head, _) = text.split_once("[model]").unwrap();
            let (_, train) = text.split_once("[train]").unwrap();
            let own = "[model]\nnetwork = \"resnet18\"\n[siamese]\n\
                       [mask]\nratio = 0.5\ngrid = 4\n[train]";
            head.to_owned() + own + train
        }
        "elo" => {
            let (head, rest) = text.split_once("[data]").unwrap();
            head.to_owned() + SOUNDING + rest.split_once("[train]").unwrap().1
        }
        "multilabel" => MULTILABEL.to_owned(),
        "brep" => {
            let (head, rest) = text.split_once("[data]").unwrap();
            head.to_owned() + PARTS + rest.split_once("[train]").unwrap().1
        }
        _ => text,
    }
}

/// A recipe without images.
const MULTILABEL: &str = r#"system = "multilabel"
[about]
summary = "a test"
paper = "none"
minutes = 1.0
machine = "any"
metric = "micro_f1"
[data]
name = "reuters"
[model]
[policies]
[eval]
[train]
epochs = 4
batch_size = 128
base_lr = 1.0e-3
"#;
