//! Any bytes: the decoder answers within its limits, and what it accepts walks on through gate and preprocessing.

use chestlight::decode::{Limits, decode_reduced};
use chestlight::gate;
use chestlight::preprocess::{Fit, InputGeometry, preprocess};

pub fn run(bytes: &[u8]) {
    let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_alloc: 16 << 20 };
    let Ok(radiograph) = decode_reduced(bytes, &limits, 64) else { return };
    let pixels = u64::from(radiograph.width()) * u64::from(radiograph.height());
    assert!(pixels <= limits.max_pixels);
    let _ = gate::judge(&radiograph);
    let geometry = InputGeometry {
        width: 32,
        height: 32,
        fit: Fit::Stretch,
        exposure_low: 0.01,
        exposure_high: 0.99,
        mean: 127.0,
        std: 128.0,
        margin: 0.1,
    };
    let tensor = preprocess(&radiograph, &geometry).expect("what the decoder accepts can be preprocessed");
    assert!(tensor.plane.iter().all(|value| value.is_finite()));
}
