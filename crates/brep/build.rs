//! With the feature `occt`: compiles the shim over Open CASCADE and links the kernel.
//!
//! The kernel is searched for below `BAUTA_OCCT`, a root folder like `/`, or else below
//! `/usr/local` and `/usr`. `cargo xtask prepare-step` sets it to the folder in which it has
//! unpacked Debian's packages.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "occt")]
    occt::build();
}

#[cfg(feature = "occt")]
mod occt {
    use std::env;
    use std::path::{Path, PathBuf};

    /// Libraries, each before those that it depends on.
    const LIBRARIES: [&str; 9] = [
        "TKTopAlgo",
        "TKGeomAlgo",
        "TKBRep",
        "TKGeomBase",
        "TKG3d",
        "TKG2d",
        "TKMath",
        "TKernel",
        "TKShHealing",
    ];

    pub fn build() {
        println!("cargo::rerun-if-changed=shim/occt.cpp");
        println!("cargo::rerun-if-env-changed=BAUTA_OCCT");
        let roots = match env::var_os("BAUTA_OCCT") {
            Some(root) => vec![PathBuf::from(root).join("usr")],
            None => vec!["/usr/local".into(), "/usr".into()],
        };
        let Some((headers, libraries)) = roots.iter().find_map(|root| kernel(root)) else {
            panic!(
                "no Open CASCADE below {roots:?}; install libocct-data-exchange-dev, or run \
                 `cargo xtask prepare-step`, which fetches it"
            );
        };
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .file("shim/occt.cpp")
            .flag_if_supported("-Wno-deprecated-declarations")
            .include(headers)
            .compile("bauta_occt");
        println!("cargo::rustc-link-search=native={}", libraries.display());
        // From 7.8 on, STEP is read by a single library.
        let step: &[&str] = match libraries.join("libTKDESTEP.so").exists() {
            true => &["TKDESTEP"],
            false => &["TKSTEP", "TKSTEPAttr", "TKSTEP209", "TKSTEPBase"],
        };
        for library in step.iter().chain(&["TKXSBase"]).chain(&LIBRARIES) {
            println!("cargo::rustc-link-lib=dylib={library}");
        }
        // An old-style tag, by which the kernel's libraries also find each other.
        let rpath = format!("-Wl,--disable-new-dtags,-rpath,{}", libraries.display());
        println!("cargo::rustc-link-arg-bins={rpath}");
        for kind in ["tests", "examples"] {
            println!("cargo::rustc-link-arg-{kind}={rpath}");
        }
        println!("cargo::rustc-link-arg=-Wl,-rpath-link,{}", libraries.display());
    }

    /// Folders of the headers and of the libraries.
    fn kernel(root: &Path) -> Option<(PathBuf, PathBuf)> {
        let headers = ["include/opencascade", "include/occt"].map(|name| root.join(name));
        let headers = headers.into_iter().find(|it| it.join("Standard_Version.hxx").exists())?;
        let machine = format!("lib/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").ok()?);
        let libraries = [&*machine, "lib64", "lib"].map(|name| root.join(name));
        let libraries = libraries.into_iter().find(|it| it.join("libTKernel.so").exists())?;
        Some((headers, libraries))
    }
}
