//! Descriptions, written and read; the layouts are Hugging Face's.

use serde_json::json;

use super::*;
use crate::{Activation, BeitConfig, ClipVisionConfig, MaeDecoderConfig, VitConfig};

#[test]
fn keys_are_written_in_hugging_faces_words_and_always_in_this_order() {
    let square = VitConfig::new(8, 4, 16, 2, 4);
    let vit = VitConfig { image_width: 12, ..square.clone() };
    let mae = VitMaeConfig::new(&vit, &MaeDecoderConfig::new(16, 8, 1, 2, 48), 0.75, true);
    let beit = BeitConfig::new(square.clone());
    let tuned = BeitModelConfig::fine_tuned(&beit, Some(1), true);
    let beit = BeitModelConfig::new(&beit, Some(5));
    let tower = ClipVisionConfig { projection: Some(6), ..ClipVisionConfig::new(square) };
    let sizes = |image: &str, act: &str, eps: &str| {
        format!(
            "\"image_size\":{image},\"patch_size\":4,\"num_channels\":3,\"hidden_size\":16,\
             \"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":64,\
             \"hidden_act\":\"{act}\",\"layer_norm_eps\":{eps}"
        )
    };
    for (config, start, sizes, rest) in [
        (
            ModelConfig::VitMae(mae),
            r#""architectures":["ViTMAEForPreTraining"],"model_type":"vit_mae""#,
            sizes("[8,12]", "gelu", "1e-6"),
            concat!(
                r#""qkv_bias":true,"decoder_hidden_size":8,"decoder_num_hidden_layers":1,"#,
                r#""decoder_num_attention_heads":2,"decoder_intermediate_size":32,"#,
                r#""mask_ratio":0.75,"norm_pix_loss":true"#
            ),
        ),
        (
            ModelConfig::Vit(VitModelConfig::new(&vit, Some(1))),
            r#""architectures":["ViTForImageClassification"],"model_type":"vit""#,
            sizes("[8,12]", "gelu", "1e-6"),
            r#""qkv_bias":true,"id2label":{"0":"LABEL_0"},"label2id":{"LABEL_0":0}"#,
        ),
        (
            ModelConfig::Beit(beit),
            r#""architectures":["BeitForMaskedImageModeling"],"model_type":"beit""#,
            sizes("8", "gelu", "1e-6"),
            concat!(
                r#""vocab_size":5,"layer_scale_init_value":0.1,"use_mask_token":true,"#,
                r#""use_absolute_position_embeddings":false,"use_relative_position_bias":false,"#,
                r#""use_shared_relative_position_bias":true,"use_mean_pooling":true"#
            ),
        ),
        (
            ModelConfig::Beit(tuned),
            r#""architectures":["BeitForImageClassification"],"model_type":"beit""#,
            sizes("8", "gelu", "1e-6"),
            concat!(
                r#""vocab_size":8192,"layer_scale_init_value":0.1,"use_mask_token":false,"#,
                r#""use_absolute_position_embeddings":false,"use_relative_position_bias":true,"#,
                r#""use_shared_relative_position_bias":false,"use_mean_pooling":true,"#,
                r#""id2label":{"0":"LABEL_0"},"label2id":{"LABEL_0":0}"#
            ),
        ),
        (
            ModelConfig::Clip(ClipModelConfig::new(&tower)),
            r#""architectures":["CLIPVisionModelWithProjection"],"model_type":"clip_vision_model""#,
            sizes("8", "quick_gelu", "0.00001"),
            r#""projection_dim":6"#,
        ),
    ] {
        let wanted = format!("{{{start},{sizes},{rest}}}");
        assert_eq!(serde_json::to_string(&config).unwrap(), wanted);
        assert_eq!(ModelConfig::of(&serde_json::from_str(&wanted).unwrap()).unwrap(), config);
    }
}

#[test]
fn keys_that_a_file_leaves_out_are_those_of_its_architecture() {
    let base = VitConfig { layer_norm_eps: 1e-12, ..VitConfig::base(224, 16) };
    let ModelConfig::VitMae(mae) = ModelConfig::of(&json!({"model_type": "vit_mae"})).unwrap()
    else {
        panic!("a masked autoencoder")
    };
    assert_eq!(mae.encoder().unwrap(), base);
    let decoder =
        MaeDecoderConfig { layer_norm_eps: 1e-12, ..MaeDecoderConfig::new(768, 512, 8, 16, 768) };
    assert_eq!(mae.decoder().unwrap(), decoder);
    assert_eq!((mae.mask_ratio, mae.norm_pix_loss, mae.decoder_branches), (0.75, false, 1));

    let ModelConfig::Vit(vit) = ModelConfig::of(&json!({"model_type": "vit"})).unwrap() else {
        panic!("a plain ViT")
    };
    assert_eq!((vit.encoder().unwrap(), vit.id2label), (base.clone(), None));

    let file = json!({"model_type": "beit", "use_shared_relative_position_bias": true});
    let ModelConfig::Beit(beit) = ModelConfig::of(&file).unwrap() else { panic!("a BEiT") };
    assert_eq!(beit.encoder().unwrap(), BeitConfig::new(base));
    assert!(!beit.use_mask_token && beit.use_mean_pooling && beit.vocab_size == 8192);

    let wanted = ClipVisionConfig::base(224, 32);
    for file in [
        json!({"model_type": "clip_vision_model"}),
        json!({"model_type": "clip", "vision_config": {}}),
    ] {
        let ModelConfig::Clip(clip) = ModelConfig::of(&file).unwrap() else { panic!("a tower") };
        assert_eq!(clip.tower(true).unwrap(), wanted);
    }
    assert_eq!((wanted.vit.activation, wanted.vit.layer_norm_eps), (Activation::QuickGelu, 1e-5));
}

#[test]
fn keys_with_impossible_values_are_named() {
    for (value, words) in [
        (
            json!({"model_type": "vit_mae", "hidden_size": "big"}),
            "hidden_size: invalid type: string \"big\", expected an integer of at least 0",
        ),
        (
            json!({"model_type": "vit_mae", "mask_ratio": []}),
            "mask_ratio: invalid type: sequence, expected a number",
        ),
        (
            json!({"model_type": "beit", "num_channels": -1}),
            "num_channels: invalid value: integer `-1`, expected an integer of at least 0",
        ),
        (
            json!({"model_type": "beit", "vocab_size": 0.5}),
            "vocab_size: invalid type: floating point `0.5`, expected an integer of at least 0",
        ),
        (
            json!({"model_type": "vit", "image_size": "big"}),
            "image_size: expected a number of pixels or [height, width]",
        ),
        (
            json!({"model_type": "vit", "hidden_act": "mish"}),
            "hidden_act: unknown variant `mish`, expected one of `gelu`",
        ),
        (
            json!({"model_type": "vit", "hidden_size": 0}),
            "hidden_size is 0, but must be at least 1",
        ),
        (
            json!({"model_type": "vit", "num_hidden_layers": 1_000_000_000}),
            "num_hidden_layers is 1000000000, but must be at least 1 and at most 1048576",
        ),
        (
            json!({"model_type": "beit", "use_relative_position_bias": true, "image_size": [16, 0]}),
            "image_size is 0",
        ),
        (json!({"model_type": "vit", "layer_norm_eps": -1}), "layer_norm_eps is -1, but must be"),
        (json!({"model_type": "vit", "layer_norm_eps": 0}), "layer_norm_eps is 0, but must be"),
        (json!({"model_type": "vit_mae", "layer_norm_eps": 1e9}), "layer_norm_eps is 1000000000"),
        (json!({"model_type": "vit_mae", "mask_ratio": 1.0}), "mask_ratio 1 is not in [0, 1)"),
        (
            json!({"model_type": "vit_mae", "decoder_hidden_size": u64::MAX}),
            "decoder_hidden_size is 18446744073709551615",
        ),
        (
            json!({"model_type": "clip", "vision_config": {"layer_norm_eps": null}}),
            "layer_norm_eps: invalid type: null, expected a number",
        ),
        (
            json!({"model_type": "clip", "vision_config": {}, "projection_dim": "big"}),
            "projection_dim: invalid type: string",
        ),
        (
            json!({"model_type": "vit", "hidden_size": 16}),
            "num_attention_heads is 12 (the default), which does not divide hidden_size 16;",
        ),
        (
            json!({"model_type": "clip", "vision_config": {"num_attention_heads": 5}}),
            "num_attention_heads is 5, which does not divide hidden_size 768 (the default);",
        ),
        (
            json!({"model_type": "vit_mae", "decoder_hidden_size": 24}),
            "decoder_num_attention_heads is 16 (the default), which does not divide \
             decoder_hidden_size 24;",
        ),
    ] {
        let found = ModelConfig::of(&value).unwrap_err();
        assert!(found.starts_with(words), "{value}: {found}");
    }
}

#[test]
fn keys_that_change_no_number_never_refuse_a_folder() {
    for model_type in ["vit", "vit_mae", "beit", "clip_vision_model"] {
        let plain = json!({"model_type": model_type, "use_shared_relative_position_bias": true});
        let wanted = ModelConfig::of(&plain).unwrap();
        for (key, value) in [
            ("label2id", json!({"cat": "0", "dog": "1"})),
            ("label2id", json!({"cat": "none", "dog": [1]})),
            ("label2id", json!(null)),
            ("id2label", json!({"cat": "0"})),
            ("id2label", json!({"0": 7})),
            ("id2label", json!(["cat", "dog"])),
            ("id2label", json!(null)),
            ("architectures", json!(null)),
            ("architectures", json!([3])),
            ("transformers_version", json!([1, 2])),
            ("torch_dtype", json!("float16")),
            ("problem_type", json!({"a": null})),
            ("_name_or_path", json!(3)),
        ] {
            let mut file = plain.clone();
            file[key] = value.clone();
            let mut found = ModelConfig::of(&file).unwrap();
            if let ModelConfig::Vit(VitModelConfig { label2id, .. })
            | ModelConfig::Beit(BeitModelConfig { label2id, .. }) = &mut found
                && let Some(read) = label2id.take()
            {
                assert_eq!(read, [("cat".to_owned(), 0), ("dog".to_owned(), 1)].into());
            }
            match &mut found {
                ModelConfig::VitMae(config) => {
                    config.architectures = vec!["ViTMAEForPreTraining".into()]
                }
                ModelConfig::Vit(_) | ModelConfig::Beit(_) | ModelConfig::Clip(_) => {}
            }
            assert_eq!(found, wanted, "{model_type}, {key}: {value}");
        }
    }
}

/// A hundred thousand unknown keys are read quickly.
#[test]
fn the_time_grows_with_the_number_of_keys_alone() {
    let mut file = json!({"model_type": "vit", "layer_norm_eps": "big"});
    for key in 0..100_000 {
        file[format!("key{key}")] = json!([]);
    }
    assert!(ModelConfig::of(&file).unwrap_err().starts_with("layer_norm_eps: "));
}
