//! The entropy-coded part of a baseline JPEG (ISO/IEC 10918-1, annex F.2), for a reader that wants few coefficients
//! of each block and passes over the others.

/// Bits that one look into a table takes: two coefficients of a usual film, in tables that stay in the first cache.
const LOOK: u32 = 12;
const TABLE: usize = 1 << LOOK;

/// The bits of one segment between two markers, most significant first. Behind the end come zeros.
pub(super) struct Bits<'b> {
    /// Without stuffing, and with [`Self::PADDING`] behind the end.
    bytes: &'b [u8],
    /// Bytes that are in `ahead`.
    at: usize,
    ahead: u64,
    /// Bits of `ahead` that count, from the top.
    left: u32,
}

impl<'b> Bits<'b> {
    /// Zeros that must stand behind the last byte, so that eight can always be loaded.
    pub(super) const PADDING: usize = 8;

    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0, ahead: 0, left: 0 }
    }

    /// At least 56 bits can be dropped after it.
    #[inline(always)]
    fn refill(&mut self) {
        let eight = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        self.ahead |= eight.map_or(0, |&eight| u64::from_be_bytes(eight)) >> self.left;
        self.at += ((63 - self.left) >> 3) as usize;
        self.left |= 56;
    }

    #[inline(always)]
    fn look(&self) -> usize {
        (self.ahead >> (64 - LOOK)) as usize
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.ahead <<= count;
        self.left -= count;
    }

    /// The next `count` bits, at most 16, as the number of that category (table F.1).
    #[inline(always)]
    fn number(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        let bits = (self.ahead >> (64 - count)) as i32;
        self.drop(count);
        let negative = bits >> (count - 1) == 0;
        if negative { bits + 1 - (1 << count) } else { bits }
    }

    /// Whether more was taken than there was.
    pub(super) fn is_overrun(&self) -> bool {
        self.at * 8 > (self.bytes.len() - Self::PADDING) * 8 + self.left as usize
    }
}

/// One Huffman table, and what follows from it for passing over coefficients.
pub(super) struct Codes {
    /// By the next [`LOOK`] bits: code length and symbol of the code that they begin with; 0 if it is longer.
    symbols: Box<[u16; TABLE]>,
    /// By the next [`LOOK`] bits: the coefficient whose code and value can both be seen in them.
    seen: Box<[Seen; TABLE]>,
    /// By the next [`LOOK`] bits: what all coefficients whose codes can be seen in them come to.
    skips: Box<[Skip; TABLE]>,
    /// By code length: the first code of the next length, in 16 bits, and what leads from a code to its symbol.
    ends: [u32; 17],
    offsets: [u32; 17],
    values: Vec<u8>,
}

/// A coefficient that is not 0.
#[derive(Clone, Copy, Default)]
struct Seen {
    value: i16,
    /// Zeros before it.
    run: u8,
    /// Bits of its code and value; 0 when there are more than [`LOOK`].
    bits: u8,
}

/// Coefficients that are passed over in one step.
#[derive(Clone, Copy, Default)]
struct Skip {
    /// Bits of their codes and values; 0 when the first code is longer than [`LOOK`].
    bits: u8,
    /// Places in the block.
    places: u8,
    /// The block ends behind them.
    ends_block: bool,
}

impl Codes {
    /// From a table's body in a DHT segment (B.2.4.2): the number of codes of each length from 1 to 16, and the
    /// symbols. Nothing where the lengths leave no room for the codes.
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let (mut symbols, mut ends, mut offsets) = (Box::new([0; TABLE]), [0; 17], [0; 17]);
        let (mut code, mut first) = (0u32, 0u32);
        for ((length, &count), (end, offset)) in
            (1u32..).zip(counts).zip(ends.iter_mut().skip(1).zip(offsets.iter_mut().skip(1)))
        {
            *offset = first.wrapping_sub(code);
            for &value in values.get(first as usize..first as usize + usize::from(count))? {
                if length <= LOOK {
                    let from = (code << (LOOK - length)) as usize;
                    let entry = (length as u16) << 8 | u16::from(value);
                    symbols.get_mut(from..from + (1 << (LOOK - length)))?.fill(entry);
                }
                code += 1;
            }
            if code > 1 << length {
                return None;
            }
            first += u32::from(count);
            *end = code << (16 - length);
            code <<= 1;
        }
        let (seen, skips) = (seen(&symbols), skips(&symbols));
        Some(Self { symbols, seen, skips, ends, offsets, values: values.to_owned() })
    }

    /// The next symbol. At least 16 bits must be ahead.
    #[inline(always)]
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let entry = self.symbols.get(bits.look()).copied().unwrap_or_default();
        if entry != 0 {
            bits.drop(u32::from(entry >> 8));
            return Some(entry as u8);
        }
        self.long_symbol(bits)
    }

    #[cold]
    fn long_symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let sixteen = (bits.ahead >> 48) as u32;
        let length =
            (LOOK + 1..=16).find(|&length| self.ends.get(length as usize).is_some_and(|&end| sixteen < end))?;
        bits.drop(length);
        let place = (sixteen >> (16 - length)).wrapping_add(*self.offsets.get(length as usize)?);
        self.values.get(place as usize).copied()
    }

    /// The difference of a block's first coefficient to that of the block before.
    #[inline(always)]
    pub(super) fn difference(&self, bits: &mut Bits<'_>) -> Option<i32> {
        bits.refill();
        let category = self.symbol(bits)?;
        (category <= 15).then(|| bits.number(u32::from(category)))
    }

    /// The other 63 coefficients of a block: `keep` gets the place in the zigzag and the quantized value of those up
    /// to place `last` that are not 0; those behind are passed over.
    #[inline(always)]
    pub(super) fn coefficients(
        &self,
        bits: &mut Bits<'_>,
        last: usize,
        mut keep: impl FnMut(usize, i32),
    ) -> Option<()> {
        let mut place = 1;
        while place <= last {
            bits.refill();
            let seen = self.seen.get(bits.look()).copied().unwrap_or_default();
            if seen.bits != 0 {
                bits.drop(u32::from(seen.bits));
                place += usize::from(seen.run);
                keep(place, i32::from(seen.value));
                place += 1;
                continue;
            }
            let symbol = self.symbol(bits)?;
            let (run, category) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            place += run;
            if category == 0 {
                if run < 15 {
                    return Some(());
                }
            } else {
                keep(place, bits.number(category));
            }
            place += 1;
        }
        while place < 64 {
            bits.refill();
            // 56 bits are enough for two steps of at most 27.
            for _ in 0..2 {
                let skip = self.skips.get(bits.look()).copied().unwrap_or_default();
                let behind = place + usize::from(skip.places);
                if skip.bits == 0 || behind + usize::from(skip.ends_block) > 64 {
                    // A long code, or the block ends amid what is seen: a full block has no code for its end.
                    bits.refill();
                    let symbol = self.symbol(bits)?;
                    let (run, category) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                    if category == 0 && run < 15 {
                        return Some(());
                    }
                    bits.drop(category);
                    place += run + 1;
                    break;
                }
                bits.drop(u32::from(skip.bits));
                place = behind;
                if skip.ends_block {
                    return Some(());
                }
                if place == 64 {
                    break;
                }
            }
        }
        (place == 64).then_some(())
    }
}

fn seen(symbols: &[u16; TABLE]) -> Box<[Seen; TABLE]> {
    let mut all = Box::new([Seen::default(); TABLE]);
    for ((bits, seen), &entry) in (0u64..).zip(all.iter_mut()).zip(symbols) {
        let (length, run, category) = (u32::from(entry >> 8), (entry >> 4 & 15) as u8, u32::from(entry & 15));
        if length > 0 && category > 0 && length + category <= LOOK {
            let mut value = Bits { bytes: &[], at: 0, ahead: bits << (64 - LOOK + length), left: category };
            *seen = Seen { value: value.number(category) as i16, run, bits: (length + category) as u8 };
        }
    }
    all
}

fn skips(symbols: &[u16; TABLE]) -> Box<[Skip; TABLE]> {
    let mut skips = Box::new([Skip::default(); TABLE]);
    for (seen, skip) in skips.iter_mut().enumerate() {
        while u32::from(skip.bits) < LOOK && !skip.ends_block && skip.places < 63 {
            let entry = symbols.get(seen << skip.bits & (TABLE - 1)).copied().unwrap_or_default();
            let (length, run, category) = ((entry >> 8) as u8, (entry >> 4 & 15) as u8, (entry & 15) as u8);
            // Of the last code all bits must be seen, its value's bits need not.
            if length == 0 || u32::from(skip.bits + length) > LOOK {
                break;
            }
            skip.bits += length + category;
            if category == 0 && run < 15 {
                skip.ends_block = true;
            } else {
                skip.places += run + 1;
            }
        }
    }
    skips
}
