//! Compiles the C++ shim against the headers of the libtorch that tch links.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=shim");
    // torch-sys tells where its libraries are; the headers lie beside them.
    let lib = std::env::var_os("DEP_TCH_LIBTORCH_LIB")
        .map(PathBuf::from)
        .expect("torch-sys sets DEP_TCH_LIBTORCH_LIB for its dependents");
    let include = lib.with_file_name("include");
    cc::Build::new()
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
