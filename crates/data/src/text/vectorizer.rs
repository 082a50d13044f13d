//! Text as hashed words with tf-idf weights.
//!
//! There is no vocabulary to build or keep: a word's id is its hash, scaled to the number of ids,
//! so words can share one. Id 0 is not a word's; sequences are padded with it.

use bauta_datasets::DataError;
use rayon::prelude::*;

use super::tokens::for_each_word;

/// Maximum number of ids of a vectorizer.
const MOST_IDS: usize = 1 << 24;

/// The words of a document, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bag {
    /// Ids of the words, ascending.
    pub ids: Vec<u32>,
    /// The count of each, divided by the number of words: they sum to 1.
    pub shares: Vec<f32>,
    /// Their tf-idf weights; the sum of squares is 1.
    pub tf_idf: Vec<f32>,
}

/// Turns text into ids of words and their weights.
///
/// The weight of a word is its count times `ln((1 + n) / (1 + df)) + 1`, for `n` documents of
/// which `df` have the word, and a document's weights are scaled to length 1: scikit-learn's
/// `TfidfVectorizer` with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectorizer {
    idf: Vec<f32>,
}

impl Vectorizer {
    /// Counts the `texts` that each word occurs in; ids are below `ids`.
    ///
    /// # Errors
    /// [`DataError::Setting`] when `ids` is below 2 or above 2²⁴, or there is no text.
    pub fn fit<T: AsRef<str> + Sync>(texts: &[T], ids: usize) -> Result<Self, DataError> {
        if !(2..=MOST_IDS).contains(&ids) {
            let rule = format!("must be in 2..={MOST_IDS}");
            return Err(DataError::setting("ids", ids, rule));
        }
        if texts.is_empty() {
            return Err(DataError::setting("texts", 0, "there must be at least one"));
        }
        let share = texts.len().div_ceil(4 * rayon::current_num_threads()).max(64);
        let count = |texts: &[T]| {
            let mut counts = vec![0_u32; ids];
            let mut seen = vec![u32::MAX; ids];
            for (number, text) in texts.iter().enumerate() {
                for_each_word(text.as_ref(), |hash| {
                    let id = id_of(hash, ids) as usize;
                    if seen[id] != number as u32 {
                        seen[id] = number as u32;
                        counts[id] += 1;
                    }
                });
            }
            counts
        };
        let sum = |mut sum: Vec<u32>, counts: Vec<u32>| {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sum
        };
        let counts = texts.par_chunks(share).map(count).reduce(|| vec![0; ids], sum);
        let documents = 1.0 + texts.len() as f64;
        let idf = |count: u32| ((documents / (1.0 + f64::from(count))).ln() + 1.0) as f32;
        Ok(Self { idf: counts.into_iter().map(idf).collect() })
    }

    /// The number of ids, 0 included.
    pub fn ids(&self) -> usize {
        self.idf.len()
    }

    /// The id of a word's [hash](super::word_hash).
    pub fn id(&self, hash: u64) -> u32 {
        id_of(hash, self.idf.len())
    }

    /// The words of a text with their weights.
    pub fn bag(&self, text: &str) -> Bag {
        let mut all = Vec::with_capacity(text.len() / 6);
        for_each_word(text, |hash| all.push(self.id(hash)));
        all.sort_unstable();
        let mut bag = Bag::default();
        for run in all.chunk_by(|one, next| one == next) {
            let count = run.len() as f32;
            bag.ids.push(run[0]);
            bag.shares.push(count / all.len() as f32);
            bag.tf_idf.push(count * self.idf[run[0] as usize]);
        }
        let length = bag.tf_idf.iter().map(|&weight| f64::from(weight).powi(2)).sum::<f64>().sqrt();
        bag.tf_idf.iter_mut().for_each(|weight| *weight = (f64::from(*weight) / length) as f32);
        bag
    }

    /// The bags of many texts, on all of rayon's threads.
    pub fn bags<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Vec<Bag> {
        texts.par_iter().map(|text| self.bag(text.as_ref())).collect()
    }

    /// The ids of the first `length` words of a text, padded with 0.
    pub fn sequence(&self, text: &str, length: usize) -> Vec<u32> {
        let mut ids = Vec::with_capacity(length);
        for_each_word(text, |hash| {
            if ids.len() < length {
                ids.push(self.id(hash));
            }
        });
        ids.resize(length, 0);
        ids
    }
}

/// Maps a hash uniformly to 1..`ids`.
fn id_of(hash: u64, ids: usize) -> u32 {
    (1 + ((u128::from(hash) * (ids as u128 - 1)) >> 64)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::word_hash;

    /// Values of scikit-learn 1.9.1 for three documents, computed by `tests/fixtures/tfidf.py`.
    #[test]
    fn weights_are_those_of_scikit_learn() {
        let fixture: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/tfidf.json")).unwrap();
        let texts: Vec<String> = serde_json::from_value(fixture["texts"].clone()).unwrap();
        let words: Vec<String> = serde_json::from_value(fixture["words"].clone()).unwrap();
        let wanted: Vec<Vec<f64>> = serde_json::from_value(fixture["weights"].clone()).unwrap();
        let vectorizer = Vectorizer::fit(&texts, 1 << 20).unwrap();
        let ids: Vec<u32> = words.iter().map(|word| vectorizer.id(word_hash(word))).collect();
        for (bag, row) in vectorizer.bags(&texts).iter().zip(&wanted) {
            assert_eq!(bag.ids.len(), row.iter().filter(|&&weight| weight > 0.0).count());
            for (id, &weight) in ids.iter().zip(row) {
                let place = bag.ids.iter().position(|known| known == id);
                let found = place.map_or(0.0, |place| f64::from(bag.tf_idf[place]));
                assert!((found - weight).abs() < 1e-6, "{found} {weight}");
            }
            assert!((bag.shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_text_without_words_is_an_empty_bag() {
        let vectorizer = Vectorizer::fit(&["some words", "more"], 64).unwrap();
        assert_eq!(vectorizer.bag("! ?"), Bag::default());
        assert_eq!(vectorizer.sequence("", 3), [0, 0, 0]);
        let ids = vectorizer.sequence("more words more", 2);
        assert_eq!(ids, ["more", "words"].map(|word| vectorizer.id(word_hash(word))));
        assert!(ids.iter().all(|&id| (1..64).contains(&id)));
    }

    #[test]
    fn counts_do_not_depend_on_how_the_texts_are_shared_out() {
        let texts: Vec<String> = (0..1000).map(|i| format!("w{} w{} all", i % 7, i % 11)).collect();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let one = alone.install(|| Vectorizer::fit(&texts, 512).unwrap());
        assert_eq!(one, Vectorizer::fit(&texts, 512).unwrap());
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        assert!(Vectorizer::fit(&["a b"], 1).unwrap_err().to_string().contains("ids = 1"));
        assert!(Vectorizer::fit::<&str>(&[], 8).unwrap_err().to_string().contains("texts"));
    }
}
