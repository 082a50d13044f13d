//! Text tasks: documents as a frozen encoder's features of their tokens.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, ensure};
use bauta_data::text::{ClassedText, TextTask, bert_vocabulary};
use bauta_data::{Inputs, Prefetcher, Prepared, Share, cache_root, fetched};
use bauta_eval::{TextEncoder, TextFeatures};
use bauta_libtorch::on_one_thread;
use bauta_recipe::{ExSsNet as Settings, TaskTexts};
use bauta_streams::{Purpose, StreamKey};
use tch::{Device, Tensor};

use super::stream::{Samples, Task, TaskBatch};
use crate::run::Run;

/// Number of inputs prepared ahead of the step: indices of documents, which need little memory.
const QUEUE: usize = 8;

/// The tasks, the width of a token's features, and a description in one line.
pub(super) fn open(
    table: &TaskTexts,
    settings: &Settings,
    run: &Run<'_>,
) -> Result<(Vec<Task>, usize, String)> {
    let documents = documents(table, settings)?;
    let batch = run.train.batch_size;
    for task in &documents {
        let (name, found) = (&task.name, task.train.len());
        ensure!(
            found >= batch,
            "task {name} has {found} documents, fewer than train.batch_size {batch}"
        );
    }
    let folder = match &table.encoder {
        Some(folder) => folder.clone(),
        None => fetched(bert_vocabulary(), &cache_root()?)?,
    };
    let encoder = TextEncoder::open(&folder, run.device)?;
    let keep = cache_root()?.join("features");
    let read = |name: &str, part: &[ClassedText]| -> Result<[Tensor; 2]> {
        let texts: Vec<&str> = part.iter().map(|document| document.text.as_str()).collect();
        tracing::info!("features of {} documents of {name}", texts.len());
        let wanted = TextFeatures::Tokens;
        let features = encoder.kept(wanted, &texts, table.tokens, &keep, run.stop)?;
        let classes = part.iter().map(|document| i64::from(document.class));
        let labels = Tensor::from_slice(&classes.collect::<Vec<_>>());
        Ok([features, labels].map(|tensor| tensor.to_device(run.device)))
    };
    let copies: usize = documents.iter().map(|task| task.duplicates).sum();
    let count: usize = documents.iter().map(|task| task.train.len()).sum();
    let tasks =
        documents.into_iter().map(|TextTask { name, classes, train, validation, test, .. }| {
            let labels = train.iter().map(|document| i64::from(document.class)).collect();
            let samples = Samples::Texts { features: read(&name, &train)?, labels };
            let [validation, test] = [read(&name, &validation)?, read(&name, &test)?];
            Ok(Task { name, classes: classes.len(), samples, validation, test })
        });
    let tasks = tasks.collect::<Result<Vec<_>>>()?;
    let words =
        format!("{count} documents of {} tasks; {copies} copies were left out", tasks.len());
    Ok((tasks, encoder.width(), words))
}

fn documents(table: &TaskTexts, settings: &Settings) -> Result<Vec<TextTask>> {
    let options = table.options(settings.tasks.validation, settings.eval.limit);
    if let Some(root) = &table.root {
        return Ok(TextTask::of_folders(root, &options)?);
    }
    let open =
        |&name| Ok(TextTask::open(name, &fetched(name.package(), &cache_root()?)?, &options)?);
    table.names.iter().map(open).collect()
}

/// Batches of the documents of some tasks in turn: the indices of documents, chosen on the loader's
/// threads, and their labels.
pub(super) struct Batches {
    prefetcher: Prefetcher,
    seed: u64,
    batch: usize,
    share: Share,
    device: Device,
}

impl Batches {
    pub(super) fn new(run: &Run<'_>) -> Result<Self> {
        let prefetcher = Prefetcher::new(run.threads, QUEUE)?;
        let (batch, share) = (run.train.batch_size, run.share());
        share.check(batch)?;
        Ok(Self { prefetcher, seed: run.seed, batch, share, device: run.device })
    }

    /// Batches of the tasks from `first` on, whose documents have these labels.
    pub(super) fn of(
        &self,
        first: usize,
        labels: Vec<Arc<[i64]>>,
    ) -> impl FnMut(Range<u64>) -> Inputs<TaskBatch> + use<> {
        let (prefetcher, seed) = (self.prefetcher.clone(), self.seed);
        let (batch, share) = (self.batch, self.share);
        let (device, labels) = (self.device, Arc::new(labels));
        move |steps| {
            let labels = Arc::clone(&labels);
            let make = on_one_thread(move |step: u64| {
                let turns = labels.len() as u64;
                let (number, step) = ((step % turns) as usize, step / turns);
                let (task, labels) = (first + number, &labels[number]);
                let per_epoch = (labels.len() / batch) as u64;
                let mut order: Vec<i64> = (0..labels.len() as i64).collect();
                let purpose = Purpose::named("documents of a task");
                let key = StreamKey { seed, purpose, epoch: step / per_epoch, sample: task as u64 };
                key.stream().shuffle(&mut order);
                let places = &order[(step % per_epoch) as usize * batch..][..batch];
                let places = share.part(places);
                let labels: Vec<i64> = places.iter().map(|&place| labels[place as usize]).collect();
                let [inputs, labels] =
                    [places, &labels].map(|all| Tensor::from_slice(all).to_device(device));
                TaskBatch { task, inputs, labels }
            });
            prefetcher.inputs(steps, move |step, _| Ok(Prepared::whole(make(step))))
        }
    }
}
