//! A custom objective with custom inputs: a small network learns to denoise waves.
//!
//! `own_objective FOLDER [DIE_AT]` trains in FOLDER. Started again, it resumes from the last
//! checkpoint: the final weights are the same bytes whether or not DIE_AT ended it at that step.

use std::{env, error::Error, path::Path, process::exit, sync::atomic::AtomicBool};

use bauta_backbones::{Init, Parameters};
use bauta_data::{Prefetcher, Prepared, streams};
use bauta_train::serde_json::{Value, json};
use bauta_train::{Event, Loss, Objective, ObjectiveError, Phase, Schedule, TrainConfig, Trainer};
use tch::{Device, Tensor};

/// Sixteen waves of 32 samples each: with noise, and without.
type Waves = [Vec<f32>; 2];

fn waves(step: u64) -> Waves {
    let purpose = streams::Purpose::named("waves");
    let mut stream = streams::StreamKey { seed: 0, purpose, epoch: 0, sample: step }.stream();
    let at: Vec<f32> = (0..16).map(|_| 7.0 * stream.uniform()).collect();
    let clean: Vec<f32> = (0..512).map(|i| f32::sin(at[i / 32] + (i % 32) as f32 / 4.0)).collect();
    [clean.iter().map(|x| x + 0.5 * stream.normal() as f32).collect(), clean]
}

struct Cleaner(Parameters, [Tensor; 2]);

impl Objective for Cleaner {
    type Input = Waves;
    fn loss(&mut self, waves: &Waves) -> Result<Loss, ObjectiveError> {
        let [noisy, clean] = waves.each_ref().map(|x| Tensor::from_slice(x).view([16, 32]));
        let cleaned = noisy.matmul(&self.1[0]).relu().matmul(&self.1[1]);
        Ok((cleaned - clean).square().mean(None).into())
    }
    fn parameters(&self) -> &Parameters {
        &self.0
    }
    fn config(&self) -> Value {
        json!({ "model_type": "wave-cleaner" })
    }
    fn tensors(&self, waves: &Waves) -> Vec<(&'static str, Tensor)> {
        vec![("noisy", Tensor::from_slice(&waves[0]))]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (folder, die_at) = (env::args().nth(1).ok_or("give a folder")?, env::args().nth(2));
    let mut parameters = Parameters::new(0, Device::Cpu);
    let weights = [("in", [32, 64]), ("out", [64, 32])]
        .map(|(name, shape)| parameters.root().add(name, &shape, Init::XavierUniform));
    let (prefetcher, stop) = (Prefetcher::new(2, 4)?, AtomicBool::new(false));
    let feed = |steps| prefetcher.inputs(steps, |step, _| Ok(Prepared::whole(waves(step))));
    let schedule = Schedule::cosine(0.01, 0.0, 10.0, 100);
    let config = TrainConfig { checkpoint_every: 20, ..TrainConfig::new(schedule, 16) };
    let (phase, mut cleaner) = (Phase::new("cleaning", config), Cleaner(parameters, weights));
    let mut trainer = Trainer::open(Path::new(&folder), true, &stop)?;
    trainer.fit(&phase, &mut cleaner, feed, |event| match event {
        Event::Step { step } if Some(step.to_string()) == die_at => exit(9),
        _ => {}
    })?;
    Ok(())
}
