//! Plans against numbers computed by hand.

use super::*;

/// A million trained parameters under AdamW, 64 samples of one GFLOP each.
fn sizes() -> StepSizes {
    StepSizes {
        recipe: "r".to_owned(),
        phase: "pretrain".to_owned(),
        phases: 2,
        steps: 900,
        batch_size: 64,
        accumulate: 1,
        parameters: 1_000_100,
        trained: 1_000_000,
        moments: 2_000_000,
        sharded: false,
        state: 0,
        operations: 1_000_000_000,
        again: 0,
        kept: 500_000,
        bf16: false,
        peak: 128e9,
    }
}

fn columns<const N: usize>(
    sizes: StepSizes,
    kind: DeviceKind,
    devices: [u64; N],
) -> [DevicePlan; N] {
    let plan = Plan::new(sizes, kind, Some(0.5), &devices).unwrap();
    plan.columns().to_vec().try_into().unwrap()
}

fn close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-9 * wanted.abs()
}

#[test]
fn one_device_makes_all_products_and_sends_nothing() {
    let [one] = columns(sizes(), DeviceKind::Cpu, [1]);
    // 64 GFLOP at half of 128 GFLOP/s: a second; 1,800 of them are half an hour.
    assert!(close(one.step_seconds(), 1.0) && close(one.hours, 0.5), "{one:?}");
    assert_eq!((one.sent, one.exchange_seconds, one.scaling), (0.0, 0.0, 1.0));
    assert_eq!(one.memory, [4_000_400.0, 4e6, 8e6, 0.0, 4.0 * 500_000.0 * 64.0]);
}

#[test]
fn several_share_the_batch_and_exchange_gradients_around_a_ring() {
    let [two, eight] = columns(sizes(), DeviceKind::Cpu, [2, 8]);
    assert_eq!((two.samples, eight.samples), (32, 8));
    // 2 · (N − 1) / N of 4 MB, at 1.25 GB/s.
    assert!(close(two.sent, 4e6) && close(eight.sent, 7e6));
    assert!(close(eight.exchange_seconds, 7e6 / 1.25e9));
    assert!(close(eight.scaling, 1.0 / (8.0 * (0.125 + 0.0056))));
    // Gradients are exchanged in place.
    assert_eq!(two.memory[1], 4e6);
}

#[test]
fn divided_moments_are_a_share_on_each_and_cost_the_weights_on_the_way() {
    let sharded = || StepSizes { sharded: true, ..sizes() };
    let [one, two, eight] = columns(sharded(), DeviceKind::Cpu, [1, 2, 8]);
    // Eight bytes of moments for each of a million weights.
    assert_eq!([&one, &two, &eight].map(|on| on.memory[2]), [8e6, 4e6, 1e6]);
    let whole = columns(sizes(), DeviceKind::Cpu, [2, 8]);
    assert_eq!(two.memory_bytes(), whole[0].memory_bytes() - 4e6);
    // Half of 4 MB more is sent by each; the tree of eight has three levels.
    assert!(close(two.sent, whole[0].sent + 2e6));
    assert!(close(two.exchange_seconds, whole[0].exchange_seconds + 4e6 / 1.25e9));
    assert!(close(eight.exchange_seconds, whole[1].exchange_seconds + 12e6 / 1.25e9));
    let text = |sizes| Plan::new(sizes, DeviceKind::Cpu, None, &[2]).unwrap().to_string();
    assert!(text(sharded()).contains("and weights down a tree,"));
    assert!(!text(sizes()).contains("down a tree"));
}

#[test]
fn the_link_between_machines_bounds_the_ring() {
    let [within, between] = columns(sizes(), DeviceKind::A100, [8, 16]);
    assert!(close(within.exchange_seconds, 7e6 / 300e9));
    assert!(close(between.exchange_seconds, 7.5e6 / 25e9));
}

#[test]
fn what_is_computed_again_takes_time_and_no_memory() {
    let again = StepSizes { again: 250_000_000, kept: 100_000, ..sizes() };
    let [one] = columns(again, DeviceKind::Cpu, [1]);
    assert!(close(one.step_seconds(), 1.25) && close(one.memory[4], 25.6e6));
}

#[test]
fn bf16_has_a_peak_of_its_own_and_halves_what_is_kept() {
    let [one] = columns(StepSizes { bf16: true, ..sizes() }, DeviceKind::H100, [1]);
    assert!(close(one.product_seconds, 64e9 / (0.5 * 989e12)) && close(one.memory[4], 64e6));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let refuse = |sizes: StepSizes, share: Option<f64>, devices: &[u64]| {
        Plan::new(sizes, DeviceKind::Cpu, share, devices).unwrap_err().to_string()
    };
    for devices in [0, 3] {
        let told = refuse(sizes(), None, &[1, devices]);
        assert_eq!(
            told,
            format!("devices is {devices}; it must divide the 64 samples of batch_size")
        );
    }
    for share in [0.0, 1.5, f64::NAN] {
        assert!(refuse(sizes(), Some(share), &[1]).contains("must be in (0, 1]"));
    }
    assert!(refuse(StepSizes { operations: 0, ..sizes() }, None, &[1]).contains("is unknown"));
    assert!(refuse(sizes(), None, &[]).contains("devices is empty"));
}

#[test]
fn the_table_has_a_column_for_each_number_and_says_what_is_assumed() {
    let text = Plan::new(sizes(), DeviceKind::H100, None, &[1, 8, 64]).unwrap().to_string();
    let line = |name: &str| {
        let found = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        found[26..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("devices"), ["1", "8", "64"]);
    assert_eq!(line("sent in a step"), ["0.0", "MB", "7.0", "MB", "7.9", "MB"]);
    assert!(text.contains("30 % of the peak of 67.00 TFLOP/s"), "{text}");
    assert!(text.contains("several GPUs are not supported"), "{text}");
    assert!(!text.contains("More memory than"), "{text}");
    let large = StepSizes { kept: 500_000_000, ..sizes() };
    let text = Plan::new(large, DeviceKind::H100, None, &[1]).unwrap().to_string();
    assert!(text.contains("More memory than the 80.00 GB per device"), "{text}");
}

#[test]
fn kinds_are_named_in_errors() {
    assert_eq!("h200".parse(), Ok(DeviceKind::H200));
    let told = "b200".parse::<DeviceKind>().unwrap_err();
    assert_eq!(told, "the kinds of devices are h100, h200, a100, cpu");
}
