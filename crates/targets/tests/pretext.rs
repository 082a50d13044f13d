//! Single losses, gradients and where they do not flow, names, scales.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::{
    ImageNormalization, Moments, Parameters, SpacetimeFolder, SpacetimeModelConfig,
};
use bauta_libtorch::{integers, normal};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use bauta_targets::pretext::{
    FrameNetwork, Pretext, PretextConfig, Reordered, RunningScale, SoundingClips, TASKS, Task,
    reorder,
};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

const CONFIG: PretextConfig = PretextConfig {
    network: FrameNetwork::Tiny,
    width: 4,
    frames: 4,
    future: 2,
    size: 16,
    grey: true,
    flow: true,
    sound: Some([2, 16, 20]),
};

const NETWORKS: [&str; 4] = ["rgb.", "grey.", "flow.", "sound."];

fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 3, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}

fn built() -> (Parameters, Pretext) {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let pretext = Pretext::new(parameters.root(), CONFIG).unwrap();
    (parameters, pretext)
}

fn clips() -> SoundingClips {
    let order = |rows: &[[i64; 4]], label: &[f32]| Reordered {
        order: Tensor::from_slice(rows.as_flattened()).view([3, 4]),
        label: Tensor::from_slice(label),
    };
    let pixels = integers(&[3, 3, 6, 16, 16], 256, &mut stream("pixels")).to_kind(Kind::Uint8);
    SoundingClips {
        pixels,
        flow: Some((normal(&[3, 2, 5, 16, 16], 3000.0, &mut stream("flow"))).to_kind(Kind::Int16)),
        sound: Some(normal(&[3, 2, 16, 20], 1.0, &mut stream("sound"))),
        shuffled: order(&[[0, 1, 2, 3], [1, 0, 2, 3], [3, 1, 0, 2]], &[0.0, 1.0, 1.0]),
        reversed: order(&[[3, 2, 1, 0], [0, 1, 2, 3], [3, 2, 1, 0]], &[1.0, 0.0, 1.0]),
    }
}

fn only(task: usize) -> Vec<bool> {
    (0..TASKS.len()).map(|place| place == task).collect()
}

/// Names of the parameters that a task's loss depends on.
fn reached(task: usize) -> Vec<String> {
    let (parameters, pretext) = built();
    let losses = pretext.losses(&clips(), &only(task)).unwrap();
    assert!(losses.iter().enumerate().all(|(place, loss)| loss.is_some() == (place == task)));
    let loss = losses[task].as_ref().unwrap();
    assert!(loss.double_value(&[]).is_finite());
    loss.backward();
    let with = parameters.trainable().filter(|p| p.tensor.grad().defined());
    with.map(|p| p.name.clone()).collect()
}

#[test]
fn each_task_reaches_its_own_networks_and_its_own_head() {
    for (place, task) in TASKS.into_iter().enumerate() {
        let reached = reached(place);
        let reaches = |prefix: &str| reached.iter().any(|name| name.starts_with(prefix));
        let networks: Vec<&str> = match task {
            Task::Reconstruct(one)
            | Task::Future(one)
            | Task::Shuffle(one)
            | Task::Reverse(one)
            | Task::Transfer(one, _) => vec![NETWORKS[one as usize]],
            Task::Align(_, other) | Task::Embed(_, other) => {
                vec!["rgb.", NETWORKS[other as usize]]
            }
            // No gradient flows into the network that is distilled from.
            Task::Distill(..) => vec!["rgb."],
        };
        for network in NETWORKS {
            assert_eq!(reaches(network), networks.contains(&network), "{}: {network}", task.name());
        }
        let head = format!("heads.{}.", task.name());
        for name in reached.iter().filter(|name| name.starts_with("heads.")) {
            assert!(name.starts_with(&head), "{} reaches {name}", task.name());
        }
    }
}

#[test]
fn a_task_alone_costs_what_it_costs_among_all() {
    let (_, pretext) = built();
    let all = pretext.losses(&clips(), &[true; TASKS.len()]).unwrap();
    for task in 0..TASKS.len() {
        let alone = pretext.losses(&clips(), &only(task)).unwrap();
        assert_eq!(all[task], alone[task], "{}", TASKS[task].name());
    }
    let none = pretext.losses(&clips(), &[false; TASKS.len()]).unwrap();
    assert!(none.iter().all(Option::is_none));
}

/// The gradient of a loss for each trainable parameter; zeros where the loss does not depend on it.
fn gradients(parameters: &Parameters, loss: &Tensor) -> Vec<Tensor> {
    loss.backward();
    let gradient = |parameter: &Tensor| {
        let mut gradient = parameter.grad();
        let found = if gradient.defined() { gradient.copy() } else { parameter.zeros_like() };
        if gradient.defined() {
            let _ = gradient.zero_();
        }
        found
    };
    parameters.trainable().map(|p| gradient(&p.tensor)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// The gradient of a weighted sum of losses is the weighted sum of their gradients, without
    /// those of weight 0.
    #[test]
    fn loss_and_gradients_are_linear_in_the_weights(
        weights in prop::collection::vec(prop_oneof![Just(0.0_f64), 0.01_f64..1.0], TASKS.len()),
    ) {
        let (parameters, pretext) = built();
        let mut expected: Vec<Tensor> =
            parameters.trainable().map(|p| p.tensor.zeros_like()).collect();
        let mut value = 0.0;
        for (task, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let losses = pretext.losses(&clips(), &only(task)).unwrap();
            let loss = losses[task].as_ref().unwrap();
            value += weight * loss.double_value(&[]);
            let own = gradients(&parameters, loss);
            expected = expected.iter().zip(own).map(|(sum, own)| sum + own * *weight).collect();
        }
        let wanted: Vec<bool> = weights.iter().map(|weight| *weight > 0.0).collect();
        let losses = pretext.losses(&clips(), &wanted).unwrap();
        let weighted = losses.iter().zip(&weights);
        let terms = weighted.filter_map(|(loss, weight)| Some(loss.as_ref()? * *weight));
        let Some(total) = terms.reduce(|sum, term| sum + term) else { return Ok(()) };
        prop_assert!((total.double_value(&[]) - value).abs() <= 1e-4 * value);
        for (found, expected) in gradients(&parameters, &total).iter().zip(&expected) {
            let off = (found - expected).norm().double_value(&[]);
            let size = expected.norm().double_value(&[]);
            prop_assert!(off <= 1e-4 * size + 1e-6, "{off} of {size}");
        }
    }

    #[test]
    fn frames_that_are_reversed_twice_are_themselves(frames in 2_i64..9, turned: [bool; 5]) {
        let own = Tensor::arange(frames, (Kind::Int64, Device::Cpu));
        let orders = turned.map(|turned| if turned { own.flip([0]) } else { own.shallow_clone() });
        let order = Tensor::stack(&orders, 0);
        let video = normal(&[5, 2, frames, 3, 3], 1.0, &mut stream("video"));
        prop_assert_eq!(reorder(&reorder(&video, &order), &order), video);
    }
}

#[test]
fn a_pass_that_no_task_needs_is_not_made() {
    let (parameters, pretext) = built();
    let before = parameters.get("grey.stem.1.running_mean").unwrap().tensor.copy();
    let place = |name: &str| TASKS.iter().position(|task| task.name() == name).unwrap();
    pretext.losses(&clips(), &only(place("align.rgb_sound"))).unwrap();
    let moments = |name: &str| parameters.get(name).unwrap().tensor.shallow_clone();
    assert_eq!(moments("grey.stem.1.running_mean"), before);
    assert_ne!(moments("rgb.stem.1.running_mean"), before);
}

#[test]
fn frames_are_reordered_each_clip_by_its_own() {
    let frames = Tensor::arange(2 * 3, (Kind::Float, Device::Cpu)).view([2, 1, 3, 1, 1]);
    let order = Tensor::from_slice(&[2_i64, 1, 0, 0, 2, 1]).view([2, 3]);
    let found = Vec::<f32>::try_from(reorder(&frames, &order).flatten(0, -1)).unwrap();
    assert_eq!(found, [2.0, 1.0, 0.0, 3.0, 5.0, 4.0]);
    let reverse = Tensor::from_slice(&[2_i64, 1, 0, 2, 1, 0]).view([2, 3]);
    assert_eq!(reorder(&reorder(&frames, &reverse), &reverse), frames);
}

#[test]
fn a_flow_backwards_is_turned_round_and_the_last_field_is_seen_twice() {
    let place = TASKS.iter().position(|task| task.name() == "reverse.flow").unwrap();
    let fields = clips().flow.unwrap();
    let loss = |fields: &Tensor, order: &[[i64; 4]]| {
        let (_, pretext) = built();
        let order = Tensor::from_slice(order.as_flattened()).view([3, 4]);
        let reversed = Reordered { order, ..clips().reversed };
        let clips = SoundingClips { flow: Some(fields.shallow_clone()), reversed, ..clips() };
        pretext.losses(&clips, &only(place)).unwrap()[place].as_ref().unwrap().double_value(&[])
    };
    let (own, back) = ([[0, 1, 2, 3]; 3], [[3, 2, 1, 0]; 3]);
    // Three fields lie between the four frames that are seen.
    let seen = fields.narrow(2, 0, 3);
    let turned = Tensor::cat(&[-seen.flip([2_i64]), fields.narrow(2, 3, 2)], 2);
    assert_eq!(loss(&fields, &back), loss(&turned, &own));
    assert_ne!(loss(&fields, &back), loss(&fields, &own));
    // Later fields are not seen.
    let other = Tensor::cat(&[seen, fields.narrow(2, 3, 2).zeros_like()], 2);
    assert_eq!(loss(&fields, &own), loss(&other, &own));
}

#[test]
fn modalities_that_are_left_out_have_no_network_and_no_task() {
    for (grey, flow, sound, count) in
        [(true, false, Some([2, 16, 20]), 19), (false, true, None, 14), (false, false, None, 4)]
    {
        let config = PretextConfig { grey, flow, sound, ..CONFIG };
        let mut parameters = Parameters::new(0, Device::Cpu);
        let pretext = Pretext::new(parameters.root(), config).unwrap();
        assert_eq!(pretext.tasks().len(), count);
        let names = ["grey", "flow", "sound"].into_iter().zip([grey, flow, sound.is_some()]);
        for (name, there) in names {
            let found = parameters.iter().any(|one| one.name.starts_with(&format!("{name}.")));
            assert_eq!(found, there, "{name}");
            let asked = pretext.tasks().iter().any(|task| task.name().contains(name));
            assert_eq!(asked, there, "{name}");
        }
        let clips = SoundingClips {
            flow: clips().flow.filter(|_| flow),
            sound: clips().sound.filter(|_| sound.is_some()),
            ..clips()
        };
        let losses = pretext.losses(&clips, &vec![true; count]).unwrap();
        assert!(losses.iter().all(Option::is_some));
    }
}

/// Every head also fits features of another width and other strides.
#[test]
fn networks_of_fifty_layers_have_all_tasks() {
    let config = PretextConfig { network: FrameNetwork::Fifty, width: 1, ..CONFIG };
    let mut parameters = Parameters::new(0, Device::Cpu);
    let pretext = Pretext::new(parameters.root(), config).unwrap();
    assert_eq!(pretext.rgb().config().features(), 32);
    let losses = pretext.losses(&clips(), &[true; TASKS.len()]).unwrap();
    let finite = |loss: &Option<Tensor>| loss.as_ref().unwrap().double_value(&[]).is_finite();
    assert!(losses.iter().all(finite));
}

#[test]
fn names_differ_and_say_task_and_modality() {
    let mut names = TASKS.map(Task::name).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TASKS.len());
    assert!(names.contains(&"shuffle.rgb"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Whatever the weights, the clips, and the tasks that moved the running moments.
    #[test]
    fn the_network_of_colour_gives_the_same_bits_without_the_others(
        seed: u64,
        wanted in prop::collection::vec(any::<bool>(), TASKS.len()),
        values in prop::collection::vec(any::<u8>(), 3 * 3 * 6 * 16 * 16),
    ) {
        let mut parameters = Parameters::new(seed, Device::Cpu);
        let pretext = Pretext::new(parameters.root(), CONFIG).unwrap();
        let pixels = Tensor::from_slice(&values).view([3, 3, 6, 16, 16]);
        let trained = SoundingClips { pixels: pixels.shallow_clone(), ..clips() };
        pretext.losses(&trained, &wanted).unwrap();
        let place = tempfile::tempdir().unwrap();
        let config = SpacetimeModelConfig::new(pretext.rgb().config(), CONFIG.frames, CONFIG.size);
        SpacetimeFolder::write(place.path(), &config, &parameters, "rgb.").unwrap();
        let folder = SpacetimeFolder::read(place.path()).unwrap();
        prop_assert_eq!(folder.config(), &config);
        let (alone, network) = folder.encoder(Device::Cpu).unwrap();
        let own = parameters.iter().filter(|one| one.name.starts_with("rgb."));
        prop_assert_eq!(alone.iter().count(), own.count());
        let found = Pretext::embed(&network, &pixels, CONFIG.frames).unwrap();
        let whole = Pretext::embed(pretext.rgb(), &pixels, CONFIG.frames).unwrap();
        prop_assert_eq!(&found, &whole);
        // Clips normalised with the folder's statistics give the same embeddings up to rounding.
        let seen = pixels.narrow(2, 0, CONFIG.frames as i64);
        let [mean, deviation] = [&config.image_mean, &config.image_std];
        let normalization = ImageNormalization::new(mean, deviation, Device::Cpu).unwrap();
        let normalized = normalization.normalize(&seen);
        let features = network.forward(&normalized, Moments::Running).unwrap().embedding;
        let off = (features - found).abs().max().double_value(&[]);
        prop_assert!(off < 1e-5, "off by {off}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_, pretext) = built();
    let short = SoundingClips { pixels: clips().pixels.narrow(2, 0, 4), ..clips() };
    let refused = pretext.losses(&short, &only(0)).unwrap_err().to_string();
    assert_eq!(refused, "the clips is [3, 3, 4, 16, 16], the model expects [B, 3, 6, 16, 16]");
    let refused = Pretext::embed(pretext.rgb(), &short.pixels, 5).unwrap_err().to_string();
    let wanted = "the clips is [3, 3, 4, 16, 16], the model expects [B, 3, 5 or more, H, W]";
    assert_eq!(refused, wanted);
    let quiet = SoundingClips { sound: None, ..clips() };
    let refused = pretext.losses(&quiet, &only(0)).unwrap_err().to_string();
    assert_eq!(refused, "the spectrograms is [], the model expects [3, 2, 16, 20]");
    let still = SoundingClips { flow: clips().flow.map(|x| x.narrow(2, 0, 4)), ..clips() };
    assert!(pretext.losses(&still, &only(0)).is_err());
    let none = PretextConfig { future: 5, ..CONFIG };
    assert!(Pretext::new(Parameters::sketch().root(), none).is_err());
}

#[test]
fn losses_are_divided_by_their_mean_over_the_first_steps() {
    let mut scale = RunningScale::new(2, 2, Device::Cpu);
    let mut step = |first: Option<f32>, second: f32| {
        let losses = vec![first.map(Tensor::from), Some(Tensor::from(second))];
        let found = scale.scale(losses);
        scale.after_step();
        found.into_iter().map(|loss| loss.map(|loss| loss.double_value(&[]))).collect::<Vec<_>>()
    };
    assert_eq!(step(None, 4.0), [None, Some(1.0)]);
    assert_eq!(step(Some(0.5), 2.0), [Some(1.0), Some(f64::from(2.0_f32 / 3.0))]);
    // The mean of the second is 3 from here on; that of the first takes one more step.
    assert_eq!(step(Some(1.5), 6.0), [Some(1.5), Some(2.0)]);
    assert_eq!(step(Some(2.0), 3.0), [Some(2.0), Some(1.0)]);

    let saved = scale.state().into_iter().collect();
    let mut other = RunningScale::new(2, 2, Device::Cpu);
    other.load_state(&saved).unwrap();
    let again = other.scale(vec![Some(Tensor::from(3.0_f32)), None]);
    assert_eq!(again[0].as_ref().unwrap().double_value(&[]), 3.0);
    // An abandoned step does not count.
    assert_eq!(other.state()[0].1, saved["scale"]);
    assert!(RunningScale::new(3, 2, Device::Cpu).load_state(&saved).is_err());
}

#[test]
fn parts_of_a_batch_are_divided_by_the_mean_of_the_whole() {
    let mut scale = RunningScale::new(2, 1, Device::Cpu);
    assert!(scale.measures(&[true, false]) && !scale.measures(&[false, false]));
    let own = || vec![Some(Tensor::from(3.0_f32)), None];
    let whole = |own: Tensor| Ok::<_, ()>(own + Tensor::from_slice(&[1.0, 0.0]));
    let found = scale.scale_by(own(), whole).unwrap();
    assert_eq!(found[0].as_ref().unwrap().double_value(&[]), 0.75);
    assert!(found[1].is_none());
    assert!(scale.measures(&[true, false]), "the step is not over");
    scale.after_step();
    assert!(!scale.measures(&[true, false]) && scale.measures(&[true, true]));
    assert!(scale.scale_by(own(), |_| Err("gone")).is_err());
}
