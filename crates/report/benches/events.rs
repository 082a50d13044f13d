//! Cost of event files for TensorBoard: one record of metrics, as each log step writes it, to a
//! file on disk.

use std::time::SystemTime;

use bauta_report::{EventLog, Record};
use criterion::{Criterion, criterion_group, criterion_main};

fn record(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let mut events = EventLog::open(folder.path(), 0, SystemTime::now).expect("a new event file");
    // The record of a masked autoencoder: its loss, the loss of the mean, rates, norms and times.
    let mut record = Record {
        loss: 0.53,
        grad_norm: 0.7,
        mean_loss: Some(0.98),
        peak_share: Some(0.4),
        parameter_norm: Some(80.0),
        update_norm: Some(0.01),
        ..Record::default()
    };
    criterion.bench_function("events/record", |bencher| {
        bencher.iter(|| {
            record.step += 1;
            events.record("train", &record)
        });
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
