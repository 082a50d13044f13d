//! Which networks start from which weights, and what does not fit together.

use super::*;

#[test]
fn without_distillation_and_at_random_weights_nobody_teaches() {
    let set = ["mixture.latent_weight=0", "mixture.init=random"];
    let mut system = build(&set, true, None).unwrap();
    assert!(system.teacher.is_none() && train(&mut system, &set, 2)[1].is_finite());
    // The baseline has random weights although training starts from the teacher's.
    let (_scratch, teacher) = scratch_with_teacher(&[]);
    let recipe = recipe::<Settings>(&[]);
    let images = images(&recipe, true);
    let begin = |init| IMae::new(&recipe.settings, &images, Some(&teacher), init).unwrap();
    // Random heads differ; copies do not.
    let heads = |system: &IMae| {
        [1, 2].map(|head| {
            let name = format!("decoder_embed{head}.weight");
            system.parameters().get(&name).unwrap().tensor.detach().copy()
        })
    };
    let [first, second] = heads(&begin(MixtureInit::Random));
    assert_ne!(first, second);
    let [first, second] = heads(&begin(MixtureInit::Teacher));
    assert_eq!(first, second);
}

#[test]
fn teachers_and_data_that_do_not_fit_are_refused_with_what_to_do() {
    let refuse = |set: &[&str], labelled, teacher: &Path| {
        format!("{:#}", build(set, labelled, Some(teacher)).err().unwrap())
    };
    let (scratch, teacher) = scratch_with_teacher(&[]);
    for (set, labelled, words) in [
        (&["mixture.same_class=0.5"][..], false, "same_class"),
        (&["model.patch_size=2"], true, "patches of 4"),
        (&["mixture.init=random", "decoder.dim=16"], true, "decoder.dim=8"),
        (&["model.depth=3"], true, "mixture.init=random"),
    ] {
        let message = refuse(set, labelled, &teacher);
        assert!(message.contains(words), "{set:?}: {message}");
    }
    // Another width does not matter if the teacher's latents are not distilled.
    let set = ["mixture.init=random", "mixture.latent_weight=0", "decoder.dim=16"];
    assert!(build(&set, true, Some(&teacher)).is_ok());
    let folder = ModelFolder::read(&teacher).unwrap().into_encoder().unwrap();
    let encoder = scratch.path().join("encoder");
    folder.write(&encoder, bauta_backbones::Naming::Timm).unwrap();
    let message = refuse(&[], true, &encoder);
    assert!(message.contains("no decoder"), "{message}");
}

#[test]
fn a_teacher_sees_images_normalised_as_its_folder_says() {
    let (_scratch, teacher) = scratch_with_teacher(&[]);
    let set = ["mixture.init=random"];
    let input = &inputs(&set, 4, 0..1)[0];
    let (pixels, indices) = (&input.masked.pixels, &input.masked.indices);
    let latent = |seen: &Tensor| {
        let system = build(&set, true, Some(&teacher)).unwrap();
        system.teacher.unwrap().latents(&[seen], indices).unwrap().remove(0)
    };
    let own = images(&recipe::<Settings>(&set), true).normalization().unwrap();
    let (mean, deviation) = ([0.5, 0.4, 0.3], [0.1, 0.2, 0.3]);
    let other = bauta_backbones::ImageNormalization::new(&mean, &deviation, Device::Cpu).unwrap();
    let seen = own.normalize(pixels);
    // Without a file, the teacher's images are those of the run.
    let [of_own, of_other] = [latent(&seen), latent(&other.normalize(pixels))];
    let far = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
    assert!(far(&of_own, &of_other) > 1e-2);

    own.preprocessing(None).write(&teacher).unwrap();
    assert_eq!(latent(&seen), of_own);
    assert!(build(&[], true, Some(&teacher)).is_ok());
    other.preprocessing(None).write(&teacher).unwrap();
    let off = far(&latent(&seen), &of_other);
    assert!(off < 1e-4, "{off}");
    // The student's images stay those of the run, so the teacher's weights do not fit them.
    let message = format!("{:#}", build(&[], true, Some(&teacher)).err().unwrap());
    assert!(message.contains("mixture.init=random"), "{message}");
}
