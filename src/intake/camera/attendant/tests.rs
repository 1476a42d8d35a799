//! A camera of the test, with a hand on everything that it sees and says.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::decode;
use crate::intake::camera::format::PixelFormat;
use crate::intake::camera::frame::Layout;
use crate::intake::camera::stream::{Frame, Frames, MOST_UNUSABLE};
use crate::intake::camera::view::View;
use crate::radiograph::Grey;

const SIDE: u32 = 64;

/// What a camera of a test sees next.
#[derive(Clone, Copy)]
enum Scene {
    Bare,
    Film,
    /// Half a frame.
    Torn,
    /// Its plug is pulled.
    Pulled,
    /// Its driver answers against the rules.
    Nonsense,
}

#[derive(Clone)]
struct Fake {
    there: Arc<AtomicBool>,
    scenes: Arc<Mutex<Receiver<Scene>>>,
    clock: Arc<Mutex<Instant>>,
}

impl Source for Fake {
    fn is_there(&mut self) -> Result<(), CameraError> {
        let there = self.there.load(Ordering::Relaxed);
        if there { Ok(()) } else { Err(CameraError::NotThere("fake".into())) }
    }

    fn check(&mut self) -> Result<String, CameraError> {
        self.is_there().map(|()| "fake".into())
    }

    fn open(&mut self) -> Result<Box<dyn Frames>, CameraError> {
        self.is_there()?;
        Ok(Box::new(FakeFrames { fake: self.clone(), scene: Scene::Bare, bytes: Vec::new() }))
    }
}

struct FakeFrames {
    fake: Fake,
    scene: Scene,
    bytes: Vec<u8>,
}

impl Frames for FakeFrames {
    fn mode(&self) -> String {
        "fake".into()
    }

    fn wait(&mut self, within: Duration) -> Result<bool, CameraError> {
        match self.fake.scenes.lock().unwrap().recv_timeout(within) {
            Ok(scene) => {
                self.scene = scene;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    fn next(&mut self) -> Result<Frame<'_>, CameraError> {
        let pixel = |at: u32| match self.scene {
            Scene::Bare => 230,
            _ => [60, 200][(at / SIDE / 4 + at % SIDE / 4) as usize % 2],
        };
        self.bytes = (0..SIDE * SIDE).map(pixel).collect();
        match self.scene {
            Scene::Torn => self.bytes.truncate(100),
            Scene::Pulled => {
                self.fake.there.store(false, Ordering::Relaxed);
                return Err(CameraError::NotThere("pulled".into()));
            }
            Scene::Nonsense => panic!("nonsense"),
            Scene::Bare | Scene::Film => {}
        }
        // As far apart as looks are.
        let mut clock = self.fake.clock.lock().unwrap();
        *clock += LOOK_EVERY;
        let layout = Layout { format: PixelFormat::Grey, width: SIDE, height: SIDE, stride: 0 };
        Ok(Frame { bytes: &self.bytes, layout, at: *clock })
    }
}

/// A camera that is attended, with a hand on everything that it sees and says.
struct Desk {
    camera: Attended,
    there: Arc<AtomicBool>,
    scenes: Sender<Scene>,
    told: Receiver<Result<String, String>>,
    kept: Receiver<Vec<u8>>,
    /// What becomes of the next films; kept where nothing stands here.
    fates: Sender<String>,
}

fn desk(still: Option<u32>) -> Desk {
    let (scenes, seen) = channel();
    let (tell, told) = channel();
    let (keep, kept) = channel();
    let (fates, fate) = channel::<String>();
    let there = Arc::new(AtomicBool::new(true));
    let fake = Fake {
        there: Arc::clone(&there),
        scenes: Arc::new(Mutex::new(seen)),
        clock: Arc::new(Mutex::new(Instant::now())),
    };
    let taking = Taking {
        view: View::new([[0, 0], [2, 0], [2, 1], [0, 1]], [2, 2]).unwrap(),
        settle: 2,
        still,
        max_pixels: 1 << 20,
        decode_jpeg: |_, _| Err("no JPEG here".into()),
    };
    let keep = move |png: &[u8]| match fate.try_recv() {
        Ok(wrong) => Err(wrong),
        Err(_) => keep.send(png.to_vec()).map(|()| "0123abcd".to_owned()).map_err(|error| error.to_string()),
    };
    let tell = move |works| drop(tell.send(works));
    let camera = Attended::start(Box::new(fake), taking, Box::new(keep), Box::new(tell)).unwrap();
    Desk { camera, there, scenes, told, kept, fates }
}

impl Desk {
    fn see(&self, scene: Scene, frames: usize) {
        (0..frames).for_each(|_| self.scenes.send(scene).unwrap());
    }

    fn hears(&self, works: bool) -> String {
        let (Ok(words) | Err(words)) =
            self.told.iter().find(|told| told.is_ok() == works).expect("the thread is there");
        words
    }
}

#[test]
fn an_order_is_answered_when_the_film_is_kept_and_the_film_is_what_the_view_shows() {
    let desk = desk(None);
    assert_eq!(desk.hears(true), "fake");
    // Two settle, one is lost on the way.
    desk.see(Scene::Bare, 2);
    desk.see(Scene::Torn, 1);
    desk.see(Scene::Film, 1);
    assert_eq!(desk.camera.trigger().take(), Ok("0123abcd".into()));
    let film = decode::decode(&desk.kept.recv().unwrap(), &decode::Limits::default()).unwrap();
    assert_eq!((film.width(), film.height()), (SIDE, SIDE / 2));
    let Grey::U8(samples) = film.pixels() else { panic!("8 bits came") };
    assert_eq!(samples[..6], [60, 60, 60, 60, 200, 200]);
}

#[test]
fn a_film_that_cannot_be_kept_is_an_answer_and_a_fault_and_the_next_order_is_tried_at_once() {
    let desk = desk(None);
    desk.hears(true);
    desk.fates.send("the disc is nearly full".into()).unwrap();
    desk.see(Scene::Film, 3);
    let refused = desk.camera.trigger().take().unwrap_err();
    assert!(refused.contains("the disc is nearly full") && desk.hears(false) == refused);
    desk.see(Scene::Film, 3);
    assert!(desk.camera.trigger().take().is_ok());
    desk.hears(true);
}

#[test]
fn a_camera_that_is_pulled_is_a_fault_until_it_is_back() {
    for still in [None, Some(3)] {
        let desk = desk(still);
        desk.see(Scene::Bare, 3);
        desk.hears(true);
        match still {
            Some(_) => desk.see(Scene::Pulled, 1),
            None => desk.there.store(false, Ordering::Relaxed),
        }
        desk.hears(false);
        assert!(desk.camera.trigger().take().unwrap_err().contains("no camera"));
        desk.there.store(true, Ordering::Relaxed);
        desk.see(Scene::Film, 3);
        let _ = desk.camera.trigger().take();
        desk.hears(true);
    }
}

#[test]
fn a_new_still_film_is_kept_once_also_when_the_camera_is_pulled_meanwhile() {
    let desk = desk(Some(3));
    // Two settle and one begins; then the film lies still.
    desk.see(Scene::Bare, 4);
    desk.see(Scene::Film, 20);
    desk.hears(true);
    desk.kept.recv().unwrap();
    desk.see(Scene::Pulled, 1);
    desk.hears(false);
    desk.there.store(true, Ordering::Relaxed);
    desk.see(Scene::Film, 20);
    desk.see(Scene::Bare, 1);
    desk.hears(true);
    desk.see(Scene::Film, 3);
    desk.kept.recv().unwrap();
    // Everything was looked at when this is answered: there were two films.
    desk.see(Scene::Film, 1);
    let trigger = desk.camera.trigger();
    let ordered = thread::spawn(move || trigger.take());
    desk.see(Scene::Film, 1);
    desk.kept.recv().unwrap();
    ordered.join().unwrap().unwrap();
    assert!(desk.kept.try_recv().is_err());
}

#[test]
fn a_still_film_that_cannot_be_kept_is_taken_when_it_can() {
    let desk = desk(Some(3));
    desk.fates.send("the disc is nearly full".into()).unwrap();
    desk.see(Scene::Bare, 4);
    desk.see(Scene::Film, 3);
    assert!(desk.hears(false).contains("nearly full"));
    desk.see(Scene::Film, 4);
    desk.kept.recv().unwrap();
    assert_eq!(desk.told.recv().unwrap(), Ok("fake".into()), "the fault stays until then, without a word between");
}

#[test]
fn a_driver_that_answers_nonsense_or_frames_that_never_come_whole_end_nothing() {
    let desk = desk(Some(3));
    desk.see(Scene::Nonsense, 1);
    assert!(desk.hears(false).contains("nonsense"));
    desk.see(Scene::Torn, 2 + MOST_UNUSABLE as usize);
    assert!(desk.hears(false).contains("frames in a row"));
    desk.see(Scene::Bare, 3);
    desk.hears(true);
}

#[test]
fn a_button_that_is_pressed_again_while_a_film_is_being_taken_makes_no_second_one() {
    let desk = desk(None);
    desk.hears(true);
    let trigger = desk.camera.trigger();
    (0..3).for_each(|_| trigger.press());
    desk.see(Scene::Film, 3);
    desk.kept.recv().unwrap();
    desk.hears(true);
    // Would another order wait, it would take these frames.
    desk.see(Scene::Film, 3);
    trigger.take().unwrap();
    desk.kept.recv().unwrap();
    trigger.press();
    desk.see(Scene::Film, 3);
    desk.kept.recv().unwrap();
    assert!(desk.kept.try_recv().is_err());
}
