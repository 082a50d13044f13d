//! Mixtures, the teacher that some of them need, and claims about a run's own baselines.

#[allow(dead_code, reason = "other tests read it all")]
mod valid;

use std::path::Path;

use bauta_recipe::claim::{Claim, Size};
use bauta_recipe::{Branches, IMae, Layers, MixtureInit, Recipe, TeacherInput};

const TEACHER: &str = "[teacher]\nkind = \"recipe\"\nrecipe = \"mae-cifar10\"\n";

fn parse(tables: &str) -> Result<Recipe<IMae>, String> {
    let text = valid::RECIPE.replace("system = \"mae\"", "system = \"i-mae\"");
    let text = text.replace("[train]", &format!("{tables}[train]"));
    Recipe::parse(&text, Path::new("r.toml"), &Layers::default()).map_err(|e| e.to_string())
}

#[test]
fn what_is_not_said_is_the_papers() {
    let mixture = parse(&format!("{TEACHER}[mixture]\n")).unwrap().settings.mixture;
    assert_eq!((mixture.branches, mixture.init), (Branches::Double, MixtureInit::Teacher));
    assert_eq!((mixture.lambda, mixture.same_class), (None, None));
    assert_eq!((mixture.latent_weight, mixture.teacher_input), (1.0, TeacherInput::Sources));
}

#[test]
fn a_teacher_may_be_missing_only_where_nothing_needs_it() {
    for (mixture, works) in [
        ("", false),
        ("latent_weight = 0\n", false),
        ("init = \"random\"\n", false),
        ("latent_weight = 0\ninit = \"random\"\n", true),
    ] {
        let found = parse(&format!("[mixture]\n{mixture}"));
        assert_eq!(found.is_ok(), works, "{mixture}: {found:?}");
        let with_teacher = parse(&format!("{TEACHER}[mixture]\n{mixture}"));
        assert!(with_teacher.is_ok(), "{with_teacher:?}");
        if let Err(message) = found {
            assert!(message.contains("teacher is missing"), "{message}");
        }
    }
    for (mixture, words) in [
        ("lambda = 1.5", "mixture.lambda is 1.5; it must be in [0, 1]"),
        ("same_class = -0.1", "mixture.same_class is -0.1; it must be in [0, 1]"),
        ("latent_weight = -1", "mixture.latent_weight is -1; it must be a finite number"),
    ] {
        let message = parse(&format!("{TEACHER}[mixture]\n{mixture}\n")).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    for line in ["image_size = 32", "final_norm = true"] {
        let message = parse(&format!("{TEACHER}{line}\n[mixture]\n")).unwrap_err();
        assert!(message.contains("is not used with system \"i-mae\""), "{message}");
    }
}

#[test]
fn a_claim_can_hold_a_setting_against_its_own_baseline() {
    let claim = |relation: &str| {
        let text = format!(
            "source = \"s\"\nsummary = \"s\"\nrecipe = \"mae-cifar10\"\nmetric = \"linear_top1\"\n\
             seeds = [0]\n[axis]\nkey = \"mask.ratio\"\nvalues = [0.5, 0.75]\n\
             [[holds]]\nbetter = 0.75\nthan = 0.75\nby = 0.02\n{relation}[quick]\n"
        );
        Claim::parse(&text, Path::new("c.toml"), Size::Full).map_err(|error| error.to_string())
    };
    let holds = claim("than_metric = \"raw_pixels.linear_top1\"\n").unwrap().holds;
    assert_eq!(holds[0].than_metric, "raw_pixels.linear_top1");
    assert_eq!(holds[0].metric, "linear_top1");
    let message = claim("").unwrap_err();
    assert!(message.contains("compared with itself"), "{message}");
}
