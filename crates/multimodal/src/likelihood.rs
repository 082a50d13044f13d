//! How well captions match images: the probability of their words when all of them are masked.

use std::collections::BTreeMap;

use bauta_backbones::ModelError;
use bauta_masking::WordPlan;
use tch::{Kind, Tensor};

use crate::{ImageTokens, PairAutoencoder, TextTokens, WordIndices};

/// Number of images whose word logits are in memory at once.
const IMAGES: i64 = 32;

impl PairAutoencoder {
    /// The mean log-probability of each caption's words given each image, [N, C]; without `patches`
    /// [N, L, P], the mean log-probability without an image, [1, C].
    ///
    /// A caption is the ids of its words, at least one and at most as many as a text has positions.
    /// All of its words are masked, so only its length and the image are known. There is at least
    /// one caption.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when patches or captions do not fit the model, [`ModelError::Config`]
    /// when an id is not in its vocabulary.
    pub fn caption_scores(
        &self,
        patches: Option<&Tensor>,
        captions: &[&[i64]],
    ) -> Result<Tensor, ModelError> {
        let places = self.config().text.map_or(0, |text| text.tokens);
        let longest = captions.iter().map(|caption| caption.len()).max().unwrap_or(0);
        if captions.is_empty()
            || longest > places
            || captions.iter().any(|caption| caption.is_empty())
        {
            return Err(ModelError::Shape {
                what: "the captions",
                found: vec![captions.len() as i64, longest as i64],
                expected: format!("at least one caption, of 1 to {places} words"),
            });
        }
        let known = 0..self.config().text.map_or(0, |text| text.vocabulary as i64);
        let unknown = |(number, caption): (usize, &&[i64])| {
            let id = caption.iter().find(|id| !known.contains(*id))?;
            Some((number, *id))
        };
        if let Some((number, id)) = captions.iter().enumerate().find_map(unknown) {
            return Err(ModelError::Config(format!(
                "caption {number} has the word {id}, but the vocabulary has {} words; encode \
                 captions with the model's own vocabulary",
                known.end
            )));
        }
        let Some(patches) = patches else { return self.scores_of(None, captions) };
        let chunks = patches.split(IMAGES, 0);
        let scores: Vec<Tensor> = chunks
            .iter()
            .map(|patches| self.scores_of(Some(patches), captions))
            .collect::<Result<_, _>>()?;
        Ok(Tensor::cat(&scores, 0))
    }

    fn scores_of(
        &self,
        patches: Option<&Tensor>,
        captions: &[&[i64]],
    ) -> Result<Tensor, ModelError> {
        let samples = patches.map_or(1, |patches| patches.size()[0]);
        let places = self.config().text.map_or(0, |text| text.tokens);
        let device = self.device();
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, caption) in captions.iter().enumerate() {
            by_length.entry(caption.len()).or_default().push(number);
        }
        let ids = Tensor::zeros([samples, places as i64], (Kind::Int64, device));
        let (mut columns, mut order) = (Vec::new(), Vec::new());
        for (length, numbers) in by_length {
            let eligible: Vec<bool> =
                (0..samples as usize * places).map(|at| at % places < length).collect();
            let plan = WordPlan::from_masks(&eligible, &eligible, samples as usize)
                .map_err(|error| ModelError::Config(error.to_string()))?;
            let words = WordIndices::new(&plan, device);
            let image = patches.map(|patches| ImageTokens { patches, indices: None });
            let text = TextTokens { ids: &ids, words: &words };
            let decoded = self.decode(&self.encode(image, Some(text))?)?;
            let hidden = decoded.text().expect("there is a text").narrow(1, 0, length as i64);
            let logs = self.words(&hidden).log_softmax(-1, Kind::Float);
            let of_captions: Vec<i64> =
                numbers.iter().flat_map(|&number| captions[number].iter().copied()).collect();
            let wanted =
                Tensor::from_slice(&of_captions).view([-1, length as i64]).to_device(device);
            let at = |place: i64| logs.select(1, place).index_select(1, &wanted.select(1, place));
            let sums = (0..length as i64).map(at).reduce(|sum, next| sum + next);
            columns.push(sums.expect("a caption has words") / length as f64);
            order.extend(numbers.into_iter().map(|number| number as i64));
        }
        let back = Tensor::from_slice(&order).argsort(0, false).to_device(device);
        Ok(Tensor::cat(&columns, 1).index_select(1, &back))
    }
}
