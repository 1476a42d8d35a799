//! `prepare` through the real program, on folders as they are published.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

#[path = "../../tests/real_films/mod.rs"]
mod real_films;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chestlight::decode::{Limits, decode};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use chestlight_trainer::index::Index;
use chestlight_trainer::parallel;
use chestlight_trainer::prepare::{ALIKE, Likeness};
use image::{GrayImage, imageops};

fn prepare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chestlight-trainer")).arg("prepare").args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A phantom with an own chest for every seed; the ending chooses the encoding.
fn film(path: &Path, seed: u64, (width, height): (u32, u32)) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let radiograph = Phantom::new(seed, Opacity::Focal).sized(480, 400).render().unwrap();
    let Grey::U8(samples) = radiograph.pixels() else { unreachable!("phantoms have 8 bits") };
    let image = GrayImage::from_raw(480, 400, samples.clone()).unwrap();
    imageops::resize(&image, width, height, imageops::FilterType::Triangle).save(path).unwrap();
}

/// Rows of an index by file.
fn read(path: &Path) -> HashMap<String, HashMap<String, String>> {
    let mut table = csv::Reader::from_path(path).unwrap();
    let rows = table.deserialize().collect::<Result<Vec<HashMap<String, String>>, _>>().unwrap();
    rows.into_iter().map(|row| (row["file"].clone(), row)).collect()
}

#[test]
fn published_folders_become_one_index_that_training_reads() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let size = (480, 400);
    for (seed, name) in [
        (1, "chest_xray/train/NORMAL/IM-0115-0001.jpeg"),
        (2, "chest_xray/train/PNEUMONIA/person7_bacteria_21.jpeg"),
        (3, "chest_xray/test/PNEUMONIA/person7_virus_22.jpeg"),
        (4, "chest_xray/val/PNEUMONIA/VIRUS-1234567-0001.jpeg"),
        (5, "chest_xray/val/PNEUMONIA/person9.jpeg"),
    ] {
        film(&root.join("k").join(name), seed, size);
    }
    fs::create_dir_all(root.join("k/__MACOSX/train/NORMAL")).unwrap();
    fs::write(root.join("k/__MACOSX/train/NORMAL/._IM-0115-0001.jpeg"), "resource fork").unwrap();
    fs::write(root.join("k/chest_xray/train/NORMAL/.DS_Store"), "finder").unwrap();
    fs::write(root.join("k/chest_xray/train/NORMAL/IM-0200-0001.jpeg"), "no JPEG").unwrap();

    for (seed, name) in [(11, "a.jpg"), (12, "b.png"), (13, "c.jpg"), (14, "d.jpg")] {
        film(&root.join("c/images").join(name), seed, size);
    }
    fs::write(
        root.join("c/metadata.csv"),
        "patientid,sex,age,finding,view,modality,folder,filename,license\n\
         2,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg,CC BY-NC-SA\n\
         3,F,40,Pneumonia/Bacterial/Streptococcus,AP Supine,X-ray,images,b.png,\n\
         3,F,40,No Finding,L,X-ray,images,c.jpg,CC0\n\
         4,F,40,Pneumonia/Viral/COVID-19,Axial,CT,volumes,d.nii,CC0\n\
         5,F,40,Pneumonia/Viral/COVID-19,AP,X-ray,images,gone.jpg,CC0\n",
    )
    .unwrap();

    // The clinic's own table; one film was published by Cohen too, in another size and encoding.
    film(&root.join("own/1.png"), 21, size);
    film(&root.join("own/again.png"), 11, (300, 250));
    fs::write(
        root.join("own/films.csv"),
        "path,label,patient\n1.png,normal,p1\nagain.png,covid,p2\nmissing.png,normal,p3\n1.png,pneumonia,p4\n1.png,normal,\n",
    )
    .unwrap();

    let out = root.join("index.csv");
    let (k, c, own) = (root.join("k"), root.join("c"), root.join("own/films.csv"));
    let arguments = ["--kermany", text(&k), "--cohen", text(&c), "--csv", text(&own)];
    let columns = ["--columns", "file=path,group_id=patient", "--out", text(&out)];
    let output = prepare(&[arguments.as_slice(), &columns].concat());
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "something was wrong: {stderr}");
    for told in [
        "person9.jpeg: its name tells neither",
        "IM-0200-0001.jpeg: ",
        "metadata.csv, line 6: ",
        "films.csv, line 4: ",
        "films.csv, line 5: label \"pneumonia\"",
        "films.csv, line 6: tells no patient",
        "2 films are not frontal radiographs",
        "6 films are not in",
    ] {
        assert!(stderr.contains(told), "{told}\n{stderr}");
    }
    for told in
        ["Dataset_0: 1 of 1575 normal, 1 of 2772 bacterial, 2 of 1493 viral", "missing for Dataset_1: 455 covid"]
    {
        assert!(stdout.contains(told), "{told}\n{stdout}");
    }

    let rows = read(&out);
    assert_eq!(rows.len(), 8, "{rows:?}");
    let k7 =
        ["k/chest_xray/train/PNEUMONIA/person7_bacteria_21.jpeg", "k/chest_xray/test/PNEUMONIA/person7_virus_22.jpeg"];
    assert_eq!(rows[k7[0]]["group_id"], rows[k7[1]]["group_id"], "one number is one group");
    assert_eq!((rows[k7[0]]["label"].as_str(), rows[k7[1]]["label"].as_str()), ("bacterial", "viral"));
    let published = &rows["c/images/a.jpg"];
    assert_eq!((published["age"].as_str(), published["licence"].as_str()), ("65", "CC BY-NC-SA"));
    let again = &rows["own/again.png"];
    assert_eq!(
        (&again["near_duplicate_of"], &again["group_id"]),
        (&"c/images/a.jpg".to_owned(), &published["group_id"])
    );
    assert!(rows.values().filter(|row| !row["near_duplicate_of"].is_empty()).count() == 1, "{rows:?}");
    assert_eq!(Index::read(&out).unwrap().films.len(), 8);

    // Never overwritten unasked; the same again to the byte when asked; and an index comes in again as a table.
    let before = fs::read(&out).unwrap();
    assert!(String::from_utf8_lossy(&prepare(&[arguments.as_slice(), &columns].concat()).stderr).contains("--force"));
    prepare(&[arguments.as_slice(), &columns, &["--force"]].concat());
    assert_eq!(fs::read(&out).unwrap(), before);
    let second = root.join("second.csv");
    let output = prepare(&["--csv", text(&out), "--out", text(&second), "--json"]);
    assert!(output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["films"], &told["counts"]["repeated"]), (&8.into(), &1.into()));
}

#[test]
fn a_source_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    film(&root.join("films/1.png"), 1, (480, 400));
    fs::write(root.join("films/no-patient.csv"), "file,label\n1.png,normal\n").unwrap();
    fs::write(root.join("films/one.csv"), "file,label,group_id\n1.png,normal,1\n").unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::write(root.join("metadata.csv"), "filename,finding\n").unwrap();
    let inside = root.join("empty/index.csv");
    for (arguments, told) in [
        (["--kermany", text(&root.join("empty"))], "no folder NORMAL or PNEUMONIA"),
        (["--kermany", text(&root.join("absent"))], "absent"),
        (["--cohen", text(&root.join("empty"))], "metadata.csv"),
        (["--cohen", text(root)], "no column patientid"),
        (["--csv", text(&root.join("films/no-patient.csv"))], "no column group_id (the patient"),
        (["--csv", text(&root.join("films/one.csv"))], "put the index into a folder above all films"),
    ] {
        let output = prepare(&[arguments.as_slice(), &["--out", text(&inside)]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr.contains(told), "{told}\n{stderr}");
        let _ = fs::remove_file(&inside);
    }
}

#[test]
fn likeness_finds_the_films_that_are_known_to_repeat_others_and_few_more() {
    let Some(films) = real_films::folder("cxr", "how well repeated films are found") else { return };
    let index = Index::read(&films.join("index.csv")).unwrap();
    let hashes = parallel::each(&index.films, |film| {
        let radiograph = decode(&fs::read(index.path(film)).unwrap(), &Limits::default()).unwrap();
        Likeness::of(&radiograph).unwrap()
    });
    let place: HashMap<_, _> = index.films.iter().enumerate().map(|(place, film)| (film.file.clone(), place)).collect();
    let known: Vec<u32> = index
        .films
        .iter()
        .enumerate()
        .filter(|(_, film)| !film.near_duplicate_of.is_empty())
        .map(|(later, film)| hashes[later].distance(&hashes[place[Path::new(&film.near_duplicate_of)]]))
        .collect();
    // Films that are known to repeat none, of different patients: joining them would be an error.
    let own: Vec<usize> = (0..hashes.len()).filter(|at| index.films[*at].near_duplicate_of.is_empty()).collect();
    let nearest = parallel::each(&own, |&at| {
        let others = own.iter().filter(|other| index.films[**other].group_id != index.films[at].group_id);
        others.map(|other| hashes[at].distance(&hashes[*other])).min().unwrap()
    });
    for most in [8, 16, 20, 24, 28, 32, 40, 48, 56, 64] {
        let found = known.iter().filter(|apart| **apart <= most).count();
        let wrong = nearest.iter().filter(|apart| **apart <= most).count();
        println!("at most {most} bits: {found} of {} found, {wrong} of {} falsely joined", known.len(), own.len());
    }
    let found = known.iter().filter(|apart| **apart <= ALIKE).count();
    let wrong = nearest.iter().filter(|apart| **apart <= ALIKE).count();
    assert!(found * 10 >= known.len() * 7, "{found} of {}", known.len());
    assert!(wrong * 100 <= own.len(), "{wrong} of {}", own.len());
}
