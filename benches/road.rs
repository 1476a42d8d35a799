//! The rooms and the whole road on one film of 2,348 x 1,851 pixels, the largest of the paper's data; peers in the
//! same run where there is one. `docs/performance.md` has the figures.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that cannot be set up must stop")]

use std::hint::black_box;
use std::io::Cursor;

use chestlight::decode::{Limits, decode, decode_reduced};
use chestlight::model::shipped;
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::preprocess;
use chestlight::radiograph::Grey;
use chestlight::{gate, reading};
use criterion::{Criterion, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, GrayImage};

fn rooms(criterion: &mut Criterion) {
    let model = shipped().load().expect("the shipped model loads");
    let film = Phantom::new(7, Opacity::Focal).sized(2_348, 1_851).render().expect("a phantom has pixels");
    let Grey::U8(samples) = film.pixels() else { unreachable!("a phantom has 8 bits") };
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, 90)
        .encode(samples, film.width(), film.height(), ExtendedColorType::L8)
        .expect("a phantom can be encoded");
    let jpeg = jpeg.into_inner();
    let limits = Limits::default();
    let geometry = &model.manifest.input;
    let reduced = decode_reduced(&jpeg, &limits, geometry.at_least()).expect("a phantom's JPEG is whole");
    let tensor = preprocess(&film, geometry).expect("a phantom can be resized");
    let peer = GrayImage::from_raw(film.width(), film.height(), samples.clone()).expect("the sizes agree");

    let mut decoding = criterion.benchmark_group("decode");
    decoding.bench_function("chestlight, as for the network", |bencher| {
        bencher.iter(|| decode_reduced(black_box(&jpeg), &limits, geometry.at_least()))
    });
    decoding.bench_function("chestlight, full size", |bencher| bencher.iter(|| decode(black_box(&jpeg), &limits)));
    decoding.bench_function("peer: image", |bencher| {
        bencher.iter(|| image::load_from_memory(black_box(&jpeg)).map(image::DynamicImage::into_luma8))
    });
    decoding.finish();

    criterion.bench_function("gate", |bencher| bencher.iter(|| gate::judge(black_box(&reduced))));

    let mut preprocessing = criterion.benchmark_group("preprocess");
    preprocessing.bench_function("chestlight, reduced film", |bencher| {
        bencher.iter(|| preprocess(black_box(&reduced), geometry))
    });
    preprocessing.bench_function("chestlight", |bencher| bencher.iter(|| preprocess(black_box(&film), geometry)));
    preprocessing.bench_function("peer: image::imageops, resize alone", |bencher| {
        bencher.iter(|| imageops::resize(black_box(&peer), geometry.width, geometry.height, FilterType::Triangle))
    });
    preprocessing.finish();

    criterion.bench_function("infer", |bencher| bencher.iter(|| model.engine.infer(black_box(&tensor))));
    criterion.bench_function("whole road", |bencher| bencher.iter(|| reading::read(&model, black_box(&jpeg), &limits)));
    criterion.bench_function("load the model", |bencher| bencher.iter(|| shipped().load().is_ok()));
}

criterion_group!(benches, rooms);
criterion_main!(benches);
