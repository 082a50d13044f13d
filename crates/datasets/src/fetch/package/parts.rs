//! Packages of CAD parts.

use crate::fetch::origin::{Package, Proof, Registry, Selection};

pub(super) const OCCT_MISC: Package = Package {
    name: "occt-misc",
    about: "Open CASCADE's sample shapes: 2 STEP and 37 BREP files",
    licence: "LGPL-2.1 with exception, as the package states",
    registry: Registry::Debian,
    package: "occt-misc",
    version: "7.6.3+dfsg1-7",
    bytes: 10_379_624,
    inside: "usr/share/opencascade/data/",
    selection: None,
    proof: Proof::Archive {
        sha256: "cca1a3d048506931538d300835cfd7b94356ddb0254adb0ada57ea5a48e976d1",
        files: &["step/linkrods.step", "step/screw.step"],
    },
};

pub(super) const KICAD: Package = Package {
    name: "kicad",
    about: "KiCad's electronic components: 1,475 STEP files of 16 families",
    licence: "CC-BY-SA 4.0 with an exception for designs that use them, some GPL 3, as the \
              package states",
    registry: Registry::Debian,
    package: "kicad-packages3d",
    version: "6.0.10-1",
    bytes: 379_092_288,
    inside: "usr/share/kicad/3dmodels/",
    // The families of small files with five designs or more.
    selection: Some(Selection {
        folders: &[
            "Capacitor_SMD.3dshapes",
            "Capacitor_THT.3dshapes",
            "Converter_DCDC.3dshapes",
            "Crystal.3dshapes",
            "Diode_SMD.3dshapes",
            "Diode_THT.3dshapes",
            "Inductor_SMD.3dshapes",
            "Inductor_THT.3dshapes",
            "LED_THT.3dshapes",
            "OptoDevice.3dshapes",
            "Package_BGA.3dshapes",
            "Package_TO_SOT_SMD.3dshapes",
            "Package_TO_SOT_THT.3dshapes",
            "Relay_THT.3dshapes",
            "Resistor_SMD.3dshapes",
            "Resistor_THT.3dshapes",
        ],
        ending: ".step",
    }),
    proof: Proof::Archive {
        sha256: "e4ee3179c3935885a262e41543a675208ad5b3077d348728cac46f534d01109a",
        files: &["Capacitor_SMD.3dshapes/C_0402_1005Metric.step"],
    },
};
