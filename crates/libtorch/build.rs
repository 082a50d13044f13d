//! Compiles the C++ shim against the headers of the libtorch that tch links.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=shim");
    // torch-sys reports where its libraries are; the headers are next to them.
    let lib = std::env::var_os("DEP_TCH_LIBTORCH_LIB")
        .map(PathBuf::from)
        .expect("torch-sys sets DEP_TCH_LIBTORCH_LIB for its dependents");
    let include = lib.with_file_name("include");
    let mut build = cc::Build::new();
    // Without OpenMP `at::parallel_for` is compiled to a loop on one thread.
    if let Some(runtime) = openmp(&lib) {
        build.flag("-fopenmp");
        println!("cargo:rustc-link-search=native={}", lib.display());
        println!("cargo:rustc-link-lib=dylib:+verbatim={runtime}");
    }
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .define("AT_PER_OPERATOR_HEADERS", None)
        .include("shim")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .files([
            "shim/shim.cpp",
            "shim/linear.cpp",
            "shim/attention.cpp",
            "shim/checkpoint.cpp",
            "shim/process_group.cpp",
            "shim/gradient_means.cpp",
        ])
        .compile("bauta_libtorch");
}

/// Name of the GNU OpenMP runtime that libtorch ships: two runtimes in one program would each
/// keep their own threads.
fn openmp(lib: &Path) -> Option<String> {
    let names =
        fs::read_dir(lib).ok()?.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("libgomp")).min()
}
