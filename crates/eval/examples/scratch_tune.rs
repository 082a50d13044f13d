#![allow(missing_docs, clippy::all, clippy::print_stdout, clippy::unwrap_used)]
use bauta_eval::*;
use std::time::Instant;
use tch::*;
fn load(files: &[String], labels: &str) -> (Tensor, Tensor) {
    let xs: Vec<Tensor> = files
        .iter()
        .map(|f| {
            let im = image::open(f).unwrap().into_rgb8();
            Tensor::from_slice(im.as_raw())
                .view([10000, 32, 32, 3])
                .permute([0, 3, 1, 2])
                .contiguous()
        })
        .collect();
    let l = std::fs::read_to_string(labels).unwrap();
    let l: Vec<i64> = l
        .trim()
        .trim_matches(|c| c == '[' || c == ']')
        .split(',')
        .map(|s| s.trim().parse().unwrap())
        .collect();
    (Tensor::cat(&xs, 0), Tensor::from_slice(&l))
}
fn main() {
    let d = "/tmp/cifar-eval/package";
    let (train, tl) = load(
        &(1..=5).map(|i| format!("{d}/data_batch_{i}.png")).collect::<Vec<_>>(),
        &format!("{d}/train_lables.json"),
    );
    let (test, el) = load(&[format!("{d}/test_batch.png")], &format!("{d}/test_lables.json"));
    let args: Vec<String> = std::env::args().collect();
    manual_seed(0);
    let w = Tensor::randn([128, 3, 5, 5], (Kind::Float, Device::Cpu)) * 0.1;
    let raw = |x: &Tensor| x.to_kind(Kind::Float).flatten(1, -1) / 255.0;
    let conv = |x: &Tensor| {
        (x.to_kind(Kind::Float) / 127.5 - 1.0)
            .conv2d(&w, None::<Tensor>, 2i64, 2i64, 1i64, 1)
            .relu()
            .mean_dim([2, 3].as_slice(), false, Kind::Float)
    };
    let enc = |f: &dyn Fn(&Tensor) -> Tensor| {
        let b = |x: &Tensor, l: &Tensor| {
            let xs = x.split(500, 0);
            let ls = l.split(500, 0);
            let v: Vec<std::result::Result<_, EvalError>> = xs
                .into_iter()
                .zip(ls)
                .map(|(x, l)| Ok((x, Vec::<i64>::try_from(l).unwrap())))
                .collect();
            Split::encode(v, Device::Cpu, |x| f(x)).unwrap()
        };
        Features::new(b(&train, &tl), b(&test, &el), 10).unwrap()
    };
    let t = Instant::now();
    let f = if args[1] == "raw" { enc(&raw) } else { enc(&conv) };
    println!("features {:?} {:.2}s", f.train().features().size(), t.elapsed().as_secs_f64());
    if args[2] == "knn" {
        let t = Instant::now();
        let m = KnnEvaluator::new(20, 0.07).unwrap().evaluate(&f, 0).unwrap();
        println!("{m:?} {:.2}s", t.elapsed().as_secs_f64());
        return;
    }
    let opt = if args[2] == "lars" { Optimizer::Lars } else { Optimizer::Sgd };
    let epochs: u32 = args[3].parse().unwrap();
    for lr in args[4].split(',') {
        let p = LinearProbe {
            epochs,
            base_lr: lr.parse().unwrap(),
            optimizer: opt,
            batch_size: args.get(5).map_or(512, |s| s.parse().unwrap()),
            ..Default::default()
        };
        let t = Instant::now();
        let m = p.evaluate(&f, 0).unwrap();
        println!(
            "{opt:?} epochs {epochs} lr {lr}: {:.4} {:.2}s",
            m.get("linear_top1").unwrap(),
            t.elapsed().as_secs_f64()
        );
    }
}
