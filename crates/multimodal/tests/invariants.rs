//! Properties that hold for any input.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::{Parameters, TokenIndices};
use bauta_libtorch::{Checkpointing, normal};
use bauta_masking::{Grid, MaskPlan, MaskScope, RandomMask, WordMask, WordPlan};
use bauta_multimodal::{
    ImageTokens, PairAutoencoder, PairConfig, TextTokens, WordIndices, from_released, to_released,
};
use bauta_streams::{Purpose, StreamKey};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

const TOKENS: usize = 6;

fn model(text: bool) -> (Parameters, PairAutoencoder) {
    let config = PairConfig::new(Grid::image(2, 4).unwrap(), 5, 16).with_decoder(8, 2, 2);
    let config = PairConfig { depth: 2, heads: 2, ..config };
    let config = if text { config.with_text(19, TOKENS) } else { config };
    let mut parameters = Parameters::new(3, Device::Cpu);
    let model = PairAutoencoder::new(parameters.root(), &config).unwrap();
    (parameters, model)
}

fn drawn(name: &str, draw: u64, shape: &[i64]) -> Tensor {
    let purpose = Purpose::named(name);
    normal(shape, 1.0, &mut StreamKey { seed: draw, purpose, epoch: 0, sample: 0 }.stream())
}

/// A batch of pairs with texts of these lengths.
struct Pairs {
    patches: Tensor,
    ids: Tensor,
    images: TokenIndices,
    words: WordIndices,
    plan: WordPlan,
}

fn pairs(lengths: &[usize], draw: u64) -> Pairs {
    let samples: Vec<u64> = (0..lengths.len() as u64).collect();
    let count = samples.len() as i64;
    let strategy = RandomMask::new(Grid::image(2, 4).unwrap(), 0.75).unwrap();
    let images = MaskPlan::draw(&strategy, draw, 0, &samples).unwrap();
    let eligible: Vec<bool> =
        lengths.iter().flat_map(|&n| (0..TOKENS).map(move |place| place < n)).collect();
    let mask = WordMask::new(0.6).unwrap();
    let plan = WordPlan::draw(mask, MaskScope::Sample, &eligible, draw, 0, &samples).unwrap();
    let ids = drawn("ids", draw, &[count, TOKENS as i64]).abs() * 8.0;
    Pairs {
        patches: drawn("patches", draw, &[count, 8, 5]),
        ids: ids.clamp(0.0, 18.0).to_kind(Kind::Int64),
        images: TokenIndices::new(&images, Device::Cpu),
        words: WordIndices::new(&plan, Device::Cpu),
        plan,
    }
}

impl Pairs {
    fn image(&self) -> ImageTokens<'_> {
        ImageTokens { patches: &self.patches, indices: Some(&self.images) }
    }

    fn text<'a>(&'a self, ids: &'a Tensor) -> TextTokens<'a> {
        TextTokens { ids, words: &self.words }
    }
}

fn arbitrary_lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..=TOKENS, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ids_at_padding_change_nothing_at_all(lengths in arbitrary_lengths(), draw in 0_u64..99) {
        let (_parameters, model) = model(true);
        let pairs = pairs(&lengths, draw);
        let eligible = pairs.words.eligible();
        let other = pairs.ids.where_self(eligible, &(18 - &pairs.ids));
        // Ids that are in no vocabulary, such as the -100 at which losses ignore a position.
        let none = pairs.ids.where_scalarother(eligible, -100_i64);
        let run = |ids: &Tensor| {
            let latent = model.encode(Some(pairs.image()), Some(pairs.text(ids))).unwrap();
            let seen = latent.tokens().narrow(1, 0, 1 + pairs.images.visible_count());
            let decoded = model.decode(&latent).unwrap();
            let texts = decoded.text().map(|text| text * eligible.unsqueeze(2).to_kind(Kind::Float));
            [Some(seen), decoded.image().map(Tensor::shallow_clone), texts]
        };
        for changed in [other, none] {
            for (one, other) in run(&pairs.ids).iter().zip(run(&changed)) {
                prop_assert_eq!(one, &other);
            }
        }
    }

    #[test]
    fn sequences_have_the_lengths_of_their_parts(
        lengths in proptest::collection::vec(1..=TOKENS, 1..5), draw in 0_u64..99,
    ) {
        let (_parameters, model) = model(true);
        let pairs = pairs(&lengths, draw);
        let latent = model.encode(Some(pairs.image()), Some(pairs.text(&pairs.ids))).unwrap();
        let wanted = 1 + pairs.images.visible_count() + pairs.words.slots();
        prop_assert_eq!(latent.tokens().size()[1], wanted);
        let decoded = model.decode(&latent).unwrap();
        prop_assert_eq!(decoded.image().unwrap().size()[1], 8);
        prop_assert_eq!(decoded.text().unwrap().size()[1], TOKENS as i64);
    }

    #[test]
    fn samples_do_not_mix(lengths in proptest::collection::vec(1..=TOKENS, 2..5), draw in 0_u64..99) {
        let (_parameters, model) = model(true);
        let pairs = pairs(&lengths, draw);
        let decode = |pairs: &Pairs, patches: &Tensor| {
            let image = ImageTokens { patches, indices: Some(&pairs.images) };
            let latent = model.encode(Some(image), Some(pairs.text(&pairs.ids))).unwrap();
            let decoded = model.decode(&latent).unwrap();
            (decoded.image().unwrap().get(0), decoded.text().unwrap().get(0))
        };
        // Another image in the last sample does not affect the first.
        let other = pairs.patches.copy();
        let _ = other.get(lengths.len() as i64 - 1).fill_(2.0);
        prop_assert_eq!(decode(&pairs, &pairs.patches), decode(&pairs, &other));
    }

    #[test]
    fn losses_reach_masked_places_alone(lengths in arbitrary_lengths(), draw in 0_u64..99) {
        let pairs = pairs(&lengths, draw);
        let decoded = drawn("decoded", draw, &[lengths.len() as i64, TOKENS as i64, 3]);
        let decoded = decoded.set_requires_grad(true);
        let loss = pairs.words.gather_hidden(&decoded).square().sum(None);
        let loss = loss + (&decoded * 0.0).sum(None);
        loss.backward();
        let reached = decoded.grad().abs().sum_dim_intlist([2].as_slice(), false, None).gt(0.0);
        let masked = Tensor::from_slice(pairs.plan.masked()).view_as(&reached);
        prop_assert_eq!(reached, masked);
    }

    #[test]
    fn texts_of_padding_alone_are_as_none(samples in 1_usize..5, draw in 0_u64..99) {
        let (_parameters, model) = model(true);
        let pairs = pairs(&vec![0; samples], draw);
        let decode = |text| {
            let decoded = model.decode(&model.encode(Some(pairs.image()), text).unwrap()).unwrap();
            model.pixels(decoded.image().unwrap())
        };
        prop_assert_eq!(decode(Some(pairs.text(&pairs.ids))), decode(None));
        prop_assert_eq!(pairs.plan.hidden().0.len(), 0);
    }

    #[test]
    fn a_text_of_padding_among_others_is_as_none(
        lengths in proptest::collection::vec(1..=TOKENS, 1..4), draw in 0_u64..99,
    ) {
        let (_parameters, model) = model(true);
        let pairs = pairs(&[&[0], &lengths[..]].concat(), draw);
        let decode = |text| {
            let decoded = model.decode(&model.encode(Some(pairs.image()), text).unwrap()).unwrap();
            model.pixels(decoded.image().unwrap()).get(0)
        };
        let off = decode(Some(pairs.text(&pairs.ids))) - decode(None);
        prop_assert!(off.abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_batch_in_another_order_gives_the_same_in_that_order(
        lengths in proptest::collection::vec(1..=TOKENS, 2..5), draw in 0_u64..99,
    ) {
        let (_parameters, model) = model(true);
        let count = lengths.len();
        let decode = |order: &[usize]| {
            let lengths: Vec<usize> = order.iter().map(|&at| lengths[at]).collect();
            let pairs = pairs(&lengths, draw);
            let rows: Vec<i64> = order.iter().map(|&at| at as i64).collect();
            let rows = Tensor::from_slice(&rows);
            let drawn = |name: &str, shape: &[i64]| drawn(name, draw, shape).index_select(0, &rows);
            let patches = drawn("patches", &[count as i64, 8, 5]);
            let ids = drawn("ids", &[count as i64, TOKENS as i64]).abs() * 8.0;
            let ids = ids.clamp(0.0, 18.0).to_kind(Kind::Int64);
            // One mask for the whole batch, as in the released code.
            let strategy = RandomMask::new(Grid::image(2, 4).unwrap(), 0.75).unwrap();
            let plan = MaskPlan::draw(&strategy, draw, 0, &vec![0; count]).unwrap();
            let images = TokenIndices::new(&plan, Device::Cpu);
            let mask = WordMask::new(0.6).unwrap();
            let eligible = pairs.plan.eligible();
            let samples = vec![0; count];
            let plan =
                WordPlan::draw(mask, MaskScope::Batch, eligible, draw, 0, &samples).unwrap();
            let words = WordIndices::new(&plan, Device::Cpu);
            let image = ImageTokens { patches: &patches, indices: Some(&images) };
            let text = TextTokens { ids: &ids, words: &words };
            let decoded = model.decode(&model.encode(Some(image), Some(text)).unwrap()).unwrap();
            let real = words.eligible().unsqueeze(2).to_kind(Kind::Float);
            let text = decoded.text().unwrap() * real;
            [decoded.image().unwrap().shallow_clone(), text]
        };
        let order: Vec<usize> = (0..count).collect();
        let back: Vec<usize> = (0..count).rev().collect();
        for (one, other) in decode(&order).iter().zip(decode(&back)) {
            let off = (one - other.flip([0])).abs().max().double_value(&[]);
            prop_assert!(off < 1e-5, "{}", off);
        }
    }

    #[test]
    fn losses_reach_hidden_patches_alone(samples in 1_usize..5, draw in 0_u64..99) {
        let pairs = pairs(&vec![2; samples], draw);
        let decoded = drawn("decoded", draw, &[samples as i64, 8, 3]).set_requires_grad(true);
        pairs.images.gather_masked(&decoded).square().sum(None).backward();
        let reached = decoded.grad().abs().sum_dim_intlist([2].as_slice(), false, None).gt(0.0);
        prop_assert_eq!(reached, pairs.images.mask().gt(0.5));
    }

    #[test]
    fn released_weights_are_loaded_and_saved_bit_by_bit(seed in 0_u64..99) {
        let mut parameters = Parameters::new(seed, Device::Cpu);
        PairAutoencoder::new(parameters.root(), model(true).1.config()).unwrap();
        let released = to_released(parameters.iter().map(|of| (&*of.name, &of.tensor)));
        prop_assert_eq!(released.len(), parameters.iter().count());
        // Flax stores (in, out); five values per patch become sixteen.
        prop_assert_eq!(released["image_embedding/kernel"].size(), [5, 16]);
        let back = from_released(parameters.iter().map(|of| &*of.name), &released);
        for parameter in &parameters {
            prop_assert_eq!(&back[&parameter.name], &parameter.tensor.detach());
        }
        prop_assert_eq!(to_released(back.iter().map(|(name, of)| (&**name, of))), released);
    }

    #[test]
    fn nothing_hidden_gives_the_mask_vectors_no_gradient(
        lengths in arbitrary_lengths(), draw in 0_u64..99,
    ) {
        let (parameters, model) = model(true);
        let pairs = pairs(&lengths, draw);
        let plan = WordPlan::whole(pairs.plan.eligible(), lengths.len()).unwrap();
        let words = WordIndices::new(&plan, Device::Cpu);
        let image = ImageTokens { patches: &pairs.patches, indices: None };
        let text = TextTokens { ids: &pairs.ids, words: &words };
        let decoded = model.decode(&model.encode(Some(image), Some(text)).unwrap()).unwrap();
        let sum = decoded.image().unwrap().square().sum(None);
        let sum = match decoded.text() {
            Some(text) => sum + text.square().sum(None),
            None => sum,
        };
        sum.backward();
        for name in ["image_mask_embedding", "text_mask_embedding"] {
            let gradient = parameters.get(name).unwrap().tensor.grad();
            let none = !gradient.defined() || gradient.abs().max().double_value(&[]) == 0.0;
            prop_assert!(none, "{}", name);
        }
    }

    #[test]
    fn images_alone_are_what_the_image_only_model_makes_of_them(
        samples in 1_usize..5, draw in 0_u64..99,
    ) {
        let (pair_weights, of_pairs) = model(true);
        let (weights, of_images) = model(false);
        let shared = weights.iter().map(|parameter| {
            let name = parameter.name.clone();
            let tensor = pair_weights.get(&name).unwrap().tensor.detach();
            (name, tensor)
        });
        weights.assign(&shared.collect()).unwrap();
        let pairs = pairs(&vec![3; samples], draw);
        let decode = |model: &PairAutoencoder| {
            let decoded = model.decode(&model.encode(Some(pairs.image()), None).unwrap()).unwrap();
            model.pixels(decoded.image().unwrap())
        };
        prop_assert_eq!(decode(&of_pairs), decode(&of_images));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_parameters, model) = model(true);
    let pairs = pairs(&[4, 2], 2);
    let said = |image, text| model.encode(image, text).unwrap_err().to_string();
    assert!(said(None, None).contains("images, texts or both"));
    let patches = Tensor::zeros([2, 8, 4], (Kind::Float, Device::Cpu));
    let wrong = ImageTokens { patches: &patches, indices: None };
    assert!(said(Some(wrong), None).contains("[B, 8, 5]"));
    let one = pairs.patches.narrow(0, 0, 1);
    let fewer = ImageTokens { patches: &one, indices: None };
    assert!(said(Some(fewer), Some(pairs.text(&pairs.ids))).contains("[1, 6]"));
    for (config, problem) in [
        (PairConfig { dim: 18, ..model.config().clone() }, "multiple of 4"),
        (PairConfig { decoder_heads: 3, ..model.config().clone() }, "does not divide"),
        (model.config().clone().with_text(0, 4), "at least 1"),
    ] {
        let mut parameters = Parameters::sketch();
        let error = PairAutoencoder::new(parameters.root(), &config).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn checkpointed_blocks_change_no_gradient() {
    let (parameters, model) = model(true);
    let pairs = pairs(&[3, 0, TOKENS], 5);
    let wanted: Vec<Tensor> =
        parameters.trainable().map(|parameter| parameter.tensor.shallow_clone()).collect();
    let gradients = |checkpointed: bool| {
        let loss = {
            let _on = checkpointed.then(Checkpointing::on);
            let latent = model.encode(Some(pairs.image()), Some(pairs.text(&pairs.ids))).unwrap();
            let decoded = model.decode(&latent).unwrap();
            let pixels = model.pixels(decoded.image().unwrap()).square().mean(None);
            let words = pairs.words.gather_hidden(&model.words(decoded.text().unwrap()));
            pixels + words.square().mean(None)
        };
        Tensor::run_backward(&[&loss], &wanted, false, false)
    };
    for ((found, wanted), parameter) in
        gradients(true).iter().zip(gradients(false)).zip(parameters.trainable())
    {
        assert_eq!(*found, wanted, "{}", parameter.name);
    }
}

#[test]
fn captions_are_scored_by_the_probability_of_their_hidden_words() {
    let (_parameters, model) = model(true);
    let patches = drawn("patches", 5, &[3, 8, 5]);
    let captions: [&[i64]; 3] = [&[4, 2, 7], &[1], &[3, 3, 9]];
    let scores = model.caption_scores(Some(&patches), &captions).unwrap();
    assert_eq!(scores.size(), [3, 3]);
    assert_eq!(model.caption_scores(None, &captions).unwrap().size(), [1, 3]);
    // The second image with the third caption, by hand.
    let eligible: Vec<bool> = (0..TOKENS).map(|place| place < 3).collect();
    let plan = WordPlan::from_masks(&eligible, &eligible, 1).unwrap();
    let words = WordIndices::new(&plan, Device::Cpu);
    let one = patches.narrow(0, 1, 1);
    let ids = Tensor::zeros([1, TOKENS as i64], (Kind::Int64, Device::Cpu));
    let image = ImageTokens { patches: &one, indices: None };
    let text = TextTokens { ids: &ids, words: &words };
    let decoded = model.decode(&model.encode(Some(image), Some(text)).unwrap()).unwrap();
    let logs = model.words(decoded.text().unwrap()).log_softmax(-1, Kind::Float);
    let wanted: f64 = captions[2]
        .iter()
        .zip(0..)
        .map(|(&id, place)| logs.double_value(&[0, place, id]))
        .sum::<f64>()
        / 3.0;
    assert!((scores.double_value(&[1, 2]) - wanted).abs() < 1e-5);
    assert!(model.caption_scores(None, &[&[1; 9]]).is_err());
    assert!(model.caption_scores(None, &[&[]]).is_err());
    assert!(model.caption_scores(Some(&patches), &[]).is_err());
    for foreign in [-1, 19] {
        let error = model.caption_scores(None, &[&[1], &[2, foreign]]).unwrap_err().to_string();
        assert!(error.contains(&format!("caption 1 has the word {foreign},")), "{error}");
    }
}

/// In a plan without masks, slots hold padding too, whose ids can be any number.
#[test]
fn padding_of_whole_texts_can_have_any_id() {
    let (_parameters, model) = model(true);
    let eligible: Vec<bool> = (0..2 * TOKENS).map(|place| place < TOKENS + 2).collect();
    let plan = WordPlan::whole(&eligible, 2).unwrap();
    let words = WordIndices::new(&plan, Device::Cpu);
    let ids = Tensor::ones([2, TOKENS as i64], (Kind::Int64, Device::Cpu));
    let class =
        |ids: &Tensor| model.encode(None, Some(TextTokens { ids, words: &words })).unwrap().class();
    let ignored = ids.where_scalarother(words.eligible(), -100_i64);
    assert_eq!(class(&ids), class(&ignored));
}
