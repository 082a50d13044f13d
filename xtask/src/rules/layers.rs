//! Rule 2: dependencies point one way, from upper layers to lower ones.

use super::{Graph, Violation};

/// The layers from the ground up. A package may use any layer below its own.
const LAYERS: [&[&str]; 7] = [
    &["bauta-streams", "bauta-files", "bauta-onnx"],
    &["bauta-masking", "bauta-datasets", "bauta-libtorch"],
    &[
        "bauta-data",
        "bauta-recipe",
        "bauta-report",
        "bauta-evolve",
        "bauta-backbones",
        "bauta-supermask",
        "bauta-brep",
        "bauta-multilabel",
    ],
    &["bauta-targets", "bauta-multimodal", "bauta-siamese"],
    &["bauta-train", "bauta-eval"],
    &["bauta-experiments"],
    &["bauta-benches", "xtask"],
];

/// Dependencies that are allowed within a layer, and why.
const WITHIN_A_LAYER: [(&str, &str, &str); 5] = [
    ("bauta-brep", "bauta-backbones", "its networks keep their parameters as all others do"),
    ("bauta-multilabel", "bauta-backbones", "its networks' weights are named and drawn as all are"),
    ("bauta-report", "bauta-recipe", "a claim's page shows the claim"),
    ("bauta-supermask", "bauta-backbones", "a subnetwork is part of a network"),
    ("bauta-eval", "bauta-train", "fine-tuning and dense tasks are protocols that train"),
];

/// Checks every edge between the workspace's own packages.
pub fn check(graph: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in graph.members.keys() {
        let mut report = |message: String| {
            violations.push(Violation {
                path: graph.manifest(package),
                line: 1,
                rule: "layers",
                message,
            });
        };
        let Some(own) = layer(package) else {
            report(format!("{package} has no layer; give it one in xtask/src/rules/layers.rs"));
            continue;
        };
        for used in graph.dependencies(package) {
            let Some(its) = layer(used) else { continue };
            let excepted = WITHIN_A_LAYER.iter().any(|(a, b, _)| a == package && *b == used);
            if its > own {
                report(format!("{package} must not use {used}, which is in a higher layer"));
            } else if its == own && !excepted {
                report(format!(
                    "{package} must not use {used} of its own layer; if a paper needs it, add it \
                     to WITHIN_A_LAYER in xtask/src/rules/layers.rs"
                ));
            }
        }
    }
    violations
}

fn layer(package: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&package))
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::graph;
    use super::*;

    fn messages(edges: &[(&str, &[&str])]) -> Vec<String> {
        check(&graph(edges)).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn downward_edges_and_excepted_ones_are_fine() {
        let none: Vec<String> = Vec::new();
        let edges: [(&str, &[&str]); 4] = [
            ("bauta-masking", &["serde"]),
            ("bauta-data", &["bauta-streams"]),
            ("bauta-targets", &["bauta-backbones", "bauta-masking", "tch"]),
            ("bauta-experiments", &["bauta-eval", "bauta-data"]),
        ];
        assert_eq!(messages(&edges), none);
    }

    #[test]
    fn upward_and_sideways_edges_and_strangers_are_not() {
        let found = messages(&[
            ("bauta-masking", &["bauta-datasets"]),
            ("bauta-backbones", &["bauta-targets"]),
            ("bauta-train", &["bauta-eval"]),
            ("bauta-novelty", &[]),
        ]);
        let expected = [
            "bauta-backbones must not use bauta-targets, which is in a higher layer",
            "bauta-masking must not use bauta-datasets of its own layer",
            "bauta-novelty has no layer",
            "bauta-train must not use bauta-eval of its own layer",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
