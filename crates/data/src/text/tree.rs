//! Generated documents: labels on a tree, and words with known probabilities given the labels.
//!
//! A document has a child label only if it has the parent. Given the labels, every label has a
//! fixed number of slots, each of which holds one of its words with a probability that depends on
//! whether the document has the label. The posterior of every label is therefore known exactly (two
//! passes over the tree), and with it the best F1 and the threshold that reaches it, which is half
//! of that F1 (Lipton, Elkan and Naryanaswamy, arXiv 1402.1892).

use bauta_datasets::text::TreeOptions;
use bauta_datasets::{DataError, Split};
use bauta_streams::{Purpose, RandomStream, StreamKey};

use super::document::RawDocument;

/// Slots per label.
const SLOTS: usize = 6;
/// Probability that a slot holds a word of its label, if the document does not have it and if it
/// does.
const CHANCES: [f64; 2] = [0.04, 0.4];
/// Number of distinct words per label.
const WORDS: u64 = 5;
/// Uninformative words per document, and the number of distinct ones.
const NOISE: (usize, u64) = (12, 200);

/// A tree of labels from which documents are drawn.
#[derive(Clone, Debug)]
pub struct LabelTree {
    options: TreeOptions,
    names: Vec<String>,
    parents: Vec<Option<usize>>,
    /// The probability of a label given its parent; for a root, unconditional.
    chances: Vec<f64>,
}

impl LabelTree {
    /// Draws the probabilities of a tree.
    ///
    /// # Errors
    /// [`DataError::Setting`] for fewer than 2 labels or 10 documents, or no branching.
    pub fn new(options: TreeOptions) -> Result<Self, DataError> {
        for (key, value, least) in [
            ("labels", options.labels, 2),
            ("branching", options.branching, 1),
            ("documents", options.documents, 10),
        ] {
            if value < least {
                return Err(DataError::setting(key, value, format!("must be at least {least}")));
            }
        }
        let roots = options.labels.div_ceil(options.branching + 1);
        let mut stream = stream(options.seed, "label tree", 0);
        let (mut names, mut parents, mut chances) = (Vec::new(), Vec::new(), Vec::new());
        for label in 0..options.labels {
            let parent = label.checked_sub(roots).map(|place| place / options.branching);
            names.push(match parent {
                Some(parent) => format!("{}/l{label}", names[parent]),
                None => format!("l{label}"),
            });
            chances.push(match parent {
                Some(_) => stream.uniform_in(0.25, 0.6),
                // Zipf: the roots' prevalences fall with their rank.
                None => 0.5 / (1.0 + label as f64).powf(0.7),
            });
            parents.push(parent);
        }
        Ok(Self { options, names, parents, chances })
    }

    /// The labels' names: a child's starts with its parent's and `/`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The documents, each drawn from its own stream.
    pub fn documents(&self) -> Vec<RawDocument> {
        let count = self.options.documents;
        let document = |number: usize| {
            let (borne, counts, mut stream) = self.draw(number);
            let mut words = Vec::new();
            for (label, &count) in counts.iter().enumerate() {
                words.extend((0..count).map(|_| format!("w{label}x{}", stream.below(WORDS))));
            }
            words.extend((0..NOISE.0).map(|_| format!("noise{}", stream.below(NOISE.1))));
            stream.shuffle(&mut words);
            let names = self.names.iter().zip(&borne).filter(|(_, borne)| **borne);
            let part = if number < count - count / 5 { Split::Train } else { Split::Test };
            RawDocument {
                text: words.join(" "),
                labels: names.map(|(name, _)| name.clone()).collect(),
                part: Some(part),
                group: Some(number.to_string()),
            }
        };
        (0..count).map(document).collect()
    }

    /// The exact posteriors of the labels of document `number`.
    pub fn posteriors(&self, number: usize) -> Vec<f64> {
        self.infer(&self.draw(number).1)
    }

    /// For each label, the best threshold on its exact posteriors, which is half of the best
    /// expected F1 over all documents, and that F1.
    pub fn best_thresholds(&self) -> Vec<(f64, f64)> {
        let all: Vec<Vec<f64>> =
            (0..self.options.documents).map(|number| self.posteriors(number)).collect();
        let best = |label: usize| {
            let mut scores: Vec<f64> = all.iter().map(|row| row[label]).collect();
            scores.sort_by(|one, other| other.total_cmp(one));
            let positives: f64 = scores.iter().sum();
            let (mut best, mut hits) = (0.0_f64, 0.0);
            for (place, &score) in scores.iter().enumerate() {
                hits += score;
                best = best.max(2.0 * hits / (positives + 1.0 + place as f64));
            }
            (best / 2.0, best)
        };
        (0..self.names.len()).map(best).collect()
    }

    /// A document's labels, its number of words of each label, and its stream for further draws.
    fn draw(&self, number: usize) -> (Vec<bool>, Vec<usize>, RandomStream) {
        let mut stream = stream(self.options.seed, "tree document", number as u64);
        let mut borne: Vec<bool> = Vec::new();
        for (&parent, &chance) in self.parents.iter().zip(&self.chances) {
            let drawn = stream.uniform_in(0.0, 1.0) < chance;
            borne.push(drawn && parent.is_none_or(|parent| borne[parent]));
        }
        let mut count = |&borne: &bool| {
            let chance = CHANCES[usize::from(borne)];
            (0..SLOTS).filter(|_| stream.uniform_in(0.0, 1.0) < chance).count()
        };
        let counts = borne.iter().map(&mut count).collect();
        (borne, counts, stream)
    }

    /// Belief propagation on the tree: messages of the subtrees upwards, then of the rest
    /// downwards.
    fn infer(&self, counts: &[usize]) -> Vec<f64> {
        let labels = counts.len();
        let likelihood = |count: usize| {
            CHANCES.map(|p| p.powi(count as i32) * (1.0 - p).powi((SLOTS - count) as i32))
        };
        let mut below: Vec<[f64; 2]> = counts.iter().map(|&count| likelihood(count)).collect();
        // The message of a label's subtree to its parent, if the parent is absent and if it is
        // present.
        let mut messages = vec![[1.0; 2]; labels];
        for label in (0..labels).rev() {
            let (chance, [absent, present]) = (self.chances[label], below[label]);
            messages[label] = [absent, chance * present + (1.0 - chance) * absent];
            if let Some(parent) = self.parents[label] {
                for state in 0..2 {
                    below[parent][state] *= messages[label][state];
                }
            }
        }
        let mut above: Vec<[f64; 2]> = Vec::with_capacity(labels);
        for (message, (&parent, &chance)) in
            messages.iter().zip(self.parents.iter().zip(&self.chances))
        {
            above.push(match parent {
                None => [1.0 - chance, chance],
                Some(parent) => {
                    let rest: [f64; 2] = std::array::from_fn(|state| {
                        above[parent][state] * below[parent][state] / message[state]
                    });
                    [rest[0] + (1.0 - chance) * rest[1], chance * rest[1]]
                }
            });
        }
        let posterior = |(above, below): (&[f64; 2], &[f64; 2])| {
            let [absent, present] = [above[0] * below[0], above[1] * below[1]];
            present / (absent + present)
        };
        above.iter().zip(&below).map(posterior).collect()
    }
}

fn stream(seed: u64, purpose: &str, sample: u64) -> RandomStream {
    StreamKey { seed, purpose: Purpose::named(purpose), epoch: 0, sample }.stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(labels: usize, documents: usize) -> LabelTree {
        let options = TreeOptions { labels, documents, branching: 2, seed: 3 };
        LabelTree::new(options).unwrap()
    }

    /// The posterior, by summing over all assignments.
    fn by_hand(tree: &LabelTree, counts: &[usize]) -> Vec<f64> {
        let labels = counts.len();
        let (mut sums, mut total) = (vec![0.0; labels], 0.0);
        for bits in 0..1_usize << labels {
            let borne = |label: usize| bits >> label & 1 == 1;
            let weight: f64 = (0..labels)
                .map(|label| {
                    let open = tree.parents[label].is_none_or(borne);
                    let chance = if open { tree.chances[label] } else { 0.0 };
                    let prior = if borne(label) { chance } else { 1.0 - chance };
                    let p = CHANCES[usize::from(borne(label))];
                    let count = counts[label] as i32;
                    prior * p.powi(count) * (1.0 - p).powi(SLOTS as i32 - count)
                })
                .product();
            total += weight;
            (0..labels).filter(|&label| borne(label)).for_each(|label| sums[label] += weight);
        }
        sums.iter().map(|sum| sum / total).collect()
    }

    #[test]
    fn posteriors_are_exact() {
        let tree = tree(8, 40);
        for number in 0..40 {
            let counts = tree.draw(number).1;
            for (found, wanted) in tree.infer(&counts).iter().zip(by_hand(&tree, &counts)) {
                assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
            }
        }
    }

    #[test]
    fn posteriors_are_calibrated_and_children_imply_parents() {
        let tree = tree(10, 4000);
        let (mut expected, mut found) = (vec![0.0; 10], vec![0.0; 10]);
        for number in 0..4000 {
            let borne = tree.draw(number).0;
            for (label, posterior) in tree.posteriors(number).into_iter().enumerate() {
                expected[label] += posterior;
                found[label] += f64::from(u8::from(borne[label]));
                assert!(!borne[label] || tree.parents[label].is_none_or(|parent| borne[parent]));
            }
        }
        for (expected, found) in expected.iter().zip(&found) {
            assert!((expected - found).abs() < 5.0 * found.sqrt(), "{expected} {found}");
        }
    }

    #[test]
    fn the_best_threshold_is_half_of_the_best_f1() {
        let tree = tree(10, 3000);
        let all: Vec<Vec<f64>> = (0..3000).map(|number| tree.posteriors(number)).collect();
        for (label, (threshold, f1)) in tree.best_thresholds().into_iter().enumerate() {
            let expected = |threshold: f64| {
                let taken = all.iter().map(|row| row[label]).filter(|&score| score > threshold);
                let (hits, predicted) =
                    taken.fold((0.0, 0.0), |(hits, count), score| (hits + score, count + 1.0));
                2.0 * hits / (predicted + all.iter().map(|row| row[label]).sum::<f64>())
            };
            assert!((expected(threshold) - f1).abs() < 1e-9, "{threshold} {f1}");
            assert!((1..40).all(|place| expected(f64::from(place) / 40.0) <= f1 + 1e-9));
        }
    }

    #[test]
    fn documents_are_the_same_for_the_same_seed_and_have_both_parts() {
        let documents = tree(6, 50).documents();
        assert_eq!(documents, tree(6, 50).documents());
        let tests = documents.iter().filter(|document| document.part == Some(Split::Test));
        assert_eq!(tests.count(), 10);
        let error = LabelTree::new(TreeOptions { labels: 1, ..TreeOptions::default() });
        assert!(error.unwrap_err().to_string().contains("labels = 1: must be at least 2"));
    }
}
