//! Curves that visit every point of a grid, such that points near each other on the curve are near each other in the grid.

/// A way through the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// The bits of the coordinates in turn. Jumps now and then.
    ZOrder,
    /// Steps from each point to a neighbour, so that a stretch of it has a smaller surface.
    Hilbert,
}

impl Curve {
    /// Where a point lies on the curve: as many bytes as `dimensions * bits` bits take, which compare as the places do.
    ///
    /// Each coordinate has `bits` bits, 32 at most. The point is used up.
    pub(crate) fn place(self, point: &mut [u32], bits: u32, out: &mut Vec<u8>) {
        if self == Curve::Hilbert {
            to_hilbert(point, bits);
        }
        let mut byte = 0u8;
        let mut filled = 0;
        for bit in (0..bits).rev() {
            for coordinate in point.iter() {
                byte = byte << 1 | (coordinate >> bit & 1) as u8;
                filled += 1;
                if filled == 8 {
                    out.push(byte);
                    (byte, filled) = (0, 0);
                }
            }
        }
        if filled > 0 {
            out.push(byte << (8 - filled));
        }
    }
}

/// Turns coordinates into the bits of the place on the Hilbert curve, dealt out to the coordinates in turn.
///
/// From the coarsest level down, each level is a cube of two cells a side whose cells are visited along a Gray code; where the
/// curve goes through the inner cube turned or mirrored, the coordinates below are turned back (Skilling, 2004).
fn to_hilbert(point: &mut [u32], bits: u32) {
    let Some(last) = point.len().checked_sub(1) else { return };
    for level in (1..bits).rev() {
        let (bit, below) = (1u32 << level, (1u32 << level) - 1);
        for at in 0..=last {
            if point[at] & bit != 0 {
                point[0] ^= below;
            } else {
                let differing = (point[0] ^ point[at]) & below;
                point[0] ^= differing;
                point[at] ^= differing;
            }
        }
    }
    for at in 1..=last {
        point[at] ^= point[at - 1];
    }
    let mut parity = 0;
    for level in (1..bits).rev() {
        if point[last] & 1 << level != 0 {
            parity ^= (1u32 << level) - 1;
        }
    }
    point.iter_mut().for_each(|coordinate| *coordinate ^= parity);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(curve: Curve, mut point: Vec<u32>, bits: u32) -> Vec<u8> {
        let mut out = Vec::new();
        curve.place(&mut point, bits, &mut out);
        out
    }

    /// All points of a grid, in the order of the curve.
    fn visited(curve: Curve, dimensions: u32, bits: u32) -> Vec<Vec<u32>> {
        let points = 0..1u32 << (dimensions * bits);
        let mut points: Vec<Vec<u32>> =
            points.map(|n| (0..dimensions).map(|d| n >> (d * bits) & ((1 << bits) - 1)).collect()).collect();
        points.sort_by_key(|point| place(curve, point.clone(), bits));
        points
    }

    #[test]
    fn every_step_on_the_hilbert_curve_is_to_a_neighbour() {
        for (dimensions, bits) in [(1, 8), (2, 1), (2, 6), (3, 4), (4, 3)] {
            let points = visited(Curve::Hilbert, dimensions, bits);
            for pair in points.windows(2) {
                let steps: u32 = pair[0].iter().zip(&pair[1]).map(|(a, b)| a.abs_diff(*b)).sum();
                assert_eq!(steps, 1, "{dimensions} dimensions, {bits} bits: from {:?} to {:?}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn no_two_points_have_one_place() {
        for curve in [Curve::ZOrder, Curve::Hilbert] {
            let points = visited(curve, 3, 3);
            let mut places: Vec<Vec<u8>> = points.into_iter().map(|point| place(curve, point, 3)).collect();
            places.dedup();
            assert_eq!(places.len(), 512);
        }
    }

    #[test]
    fn z_order_deals_bits_out_in_turn() {
        assert_eq!(place(Curve::ZOrder, vec![0b101, 0b010], 3), [0b1001_1000]);
        assert_eq!(place(Curve::ZOrder, vec![7], 3), [0b1110_0000]);
    }
}
