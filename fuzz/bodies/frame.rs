//! Any frame of any camera: a layout and a view, then the bytes. It becomes a film of the stated size, or an error.

use chestlight::daemon::camera::decode_jpeg;
use chestlight::intake::camera::format::PixelFormat;
use chestlight::intake::camera::frame::{Layout, grey};
use chestlight::intake::camera::still::{StillFilm, Thumbnail};
use chestlight::intake::camera::view::View;

const MAX_PIXELS: u64 = 1 << 16;

pub fn run(bytes: &[u8]) {
    // Format, width, height, stride, four corners of 256 x 256, quarter turns.
    let Some((&[format, w0, w1, h0, h1, s0, s1, x0, y0, x1, y1, x2, y2, x3, y3, turns], bytes)) =
        bytes.split_first_chunk::<16>()
    else {
        return;
    };
    let Some(&format) = PixelFormat::ALL.get(usize::from(format)) else { return };
    let number = |low, high| u32::from(u16::from_le_bytes([low, high]));
    let layout = Layout { format, width: number(w0, w1), height: number(h0, h1), stride: number(s0, s1) };
    let Ok(frame) = grey(bytes, &layout, MAX_PIXELS, decode_jpeg) else { return };
    let pixels = u64::from(frame.width) * u64::from(frame.height);
    assert!(frame.pixels.len() as u64 == pixels && (1..=MAX_PIXELS).contains(&pixels));
    let corners = [[x0, y0], [x1, y1], [x2, y2], [x3, y3]].map(|corner| corner.map(u32::from));
    let view = View::new(corners, [256, 256]).unwrap_or(View::WHOLE).turned(usize::from(turns));
    let film = view.film(&frame);
    assert!(
        film.pixels.len() as u64 == u64::from(film.width) * u64::from(film.height)
            && film.pixels.len() as u64 <= pixels
    );
    film.png().expect("a film of a stated size is encoded");
    StillFilm::new(2).look(Thumbnail::of(&frame, &view));
}
