//! One part: a body with features, drawn one after the other and placed where there is room.

use std::f64::consts::{FRAC_PI_2, PI};

use bauta_streams::RandomStream;
use glam::{DMat3, DVec2, DVec3};

use super::Feature;
use super::builder::{Builder, Place, ring};
use super::contour::{Contour, arc, obround, rectangle, straight};
use super::recess::{Bottom, Rim, cut, drill};
use super::room::Cuboid;
use crate::geometry::Solid;

/// Minimum distance between features in millimetres.
const MARGIN: f64 = 2.0;

/// Number of attempts to place a recess.
const TRIES: usize = 25;

/// A planar face of the body with room for recesses.
struct Host {
    face: usize,
    /// z points into the material; the origin is the centre of the available room.
    place: Place,
    /// Half the size of the room along x and y.
    half: DVec2,
    /// The thickness of the material.
    depth: f64,
    /// The host on the other side.
    opposite: Option<usize>,
}

/// Draws a part.
pub(super) fn part(stream: &mut RandomStream) -> Solid {
    let size = DVec3::new(
        stream.uniform_in(40.0, 100.0),
        stream.uniform_in(40.0, 100.0),
        stream.uniform_in(15.0, 60.0),
    );
    let mut builder = Builder::new(turn(stream));
    let count = 1 + stream.below(5) as usize;
    let wanted: Vec<Feature> = (0..count).map(|_| feature(stream)).collect();
    let disc = stream.uniform() < 0.15;
    let (contour, taken, size) = if disc {
        let radius = 0.5 * size.x.min(size.y);
        let center = DVec2::splat(radius);
        let contour = vec![arc(center, radius, 0.0, 2.0 * PI, Feature::Stock)];
        (contour, Vec::new(), DVec3::new(2.0 * radius, 2.0 * radius, size.z))
    } else {
        let (contour, taken) = outline(stream, size, &wanted);
        (contour, taken, size)
    };
    let body = Place { origin: DVec3::ZERO, x: DVec3::X, y: DVec3::Y };
    let walls = builder.extrude(&contour, &body, [0.0, size.z], false);
    let low = builder.plane(DVec3::NEG_Z, vec![ring(&walls.sides[0], true)], Feature::Stock);
    let high = builder.plane(DVec3::Z, vec![ring(&walls.sides[1], false)], Feature::Stock);
    let mut hosts = caps(size, disc, [low, high]);
    if !disc {
        hosts.extend(sides(size, &contour, &walls.faces));
        pair(&mut hosts);
    }
    let mut room = Room { stream, builder: &mut builder, hosts, taken, size };
    for feature in wanted {
        room.recess(feature);
    }
    builder.finish([DVec3::ZERO, size])
}

/// One of the 24 rotations that map axes to axes.
fn turn(stream: &mut RandomStream) -> DMat3 {
    let axes = [DVec3::X, DVec3::Y, DVec3::Z];
    let first = stream.below(3) as usize;
    let second = (first + 1 + stream.below(2) as usize) % 3;
    let mut sign = || if stream.below(2) == 0 { 1.0 } else { -1.0 };
    let (x, y) = (sign() * axes[first], sign() * axes[second]);
    DMat3::from_cols(x, y, x.cross(y))
}

fn feature(stream: &mut RandomStream) -> Feature {
    use Feature::{BlindHole, Pocket, Slot, Step, ThroughHole};
    [ThroughHole, BlindHole, Pocket, Step, Slot][stream.below(5) as usize]
}

/// The outline of a block with its steps, through slots, chamfers and fillets, and the boxes that
/// they occupy.
fn outline(stream: &mut RandomStream, size: DVec3, wanted: &[Feature]) -> (Contour, Vec<Cuboid>) {
    let flat = size.truncate();
    let least = flat.min_element();
    let mut corners = [None; 4];
    let steps = wanted.iter().filter(|&&feature| feature == Feature::Step).count();
    (0..steps).for_each(|_| corners[stream.below(4) as usize] = Some(Feature::Step));
    for feature in [Feature::Chamfer, Feature::Fillet] {
        for _ in 0..stream.below(3) {
            corners[stream.below(4) as usize].get_or_insert(feature);
        }
    }
    let mut notched = [false; 4];
    for _ in wanted.iter().filter(|&&feature| feature == Feature::Slot) {
        let side = stream.below(4) as usize;
        notched[side] |= stream.uniform() < 0.5;
    }
    let points = [DVec2::ZERO, DVec2::new(flat.x, 0.0), flat, DVec2::new(0.0, flat.y)];
    let (mut contour, mut taken) = (Contour::new(), Vec::new());
    let mut take = |one: DVec2, other: DVec2| {
        let cuboid = Cuboid::spanned(one.extend(0.0), other.extend(size.z));
        taken.push(cuboid.widened(DVec3::new(MARGIN, MARGIN, 0.0)));
    };
    for (i, corner) in points.into_iter().enumerate() {
        let after = (points[(i + 1) % 4] - corner).normalize();
        let before = (corner - points[(i + 3) % 4]).normalize();
        let mut between = |low: f64, high: f64| least * stream.uniform_in(low, high);
        match corners[i] {
            Some(Feature::Step) => {
                let (one, other) = (between(0.1, 0.3), between(0.1, 0.3));
                let start = corner - one * before;
                contour.push(straight(start, Feature::Step));
                contour.push(straight(start + other * after, Feature::Step));
                contour.push(straight(corner + other * after, Feature::Stock));
                take(start, corner + other * after);
            }
            Some(Feature::Chamfer) => {
                let cut = between(0.05, 0.2);
                contour.push(straight(corner - cut * before, Feature::Chamfer));
                contour.push(straight(corner + cut * after, Feature::Stock));
                take(corner - cut * before, corner + cut * after);
            }
            Some(_) => {
                let radius = between(0.05, 0.2);
                let center = corner - radius * before + radius * after;
                let start = i as f64 * FRAC_PI_2 - PI;
                contour.push(arc(center, radius, start, FRAC_PI_2, Feature::Fillet));
                contour.push(straight(corner + radius * after, Feature::Stock));
                take(corner - radius * before, corner + radius * after);
            }
            None => contour.push(straight(corner, Feature::Stock)),
        }
        if notched[i] {
            let inwards = after.perp();
            let length = (points[(i + 1) % 4] - corner).length();
            let width = length * stream.uniform_in(0.08, 0.2);
            let at = length * stream.uniform_in(0.36, 0.62) - 0.5 * width;
            let deep = least * stream.uniform_in(0.1, 0.3);
            let [start, end] = [at, at + width].map(|along| corner + along * after);
            contour.push(straight(start, Feature::Slot));
            contour.push(straight(start + deep * inwards, Feature::Slot));
            contour.push(straight(end + deep * inwards, Feature::Slot));
            contour.push(straight(end, Feature::Stock));
            take(start, end + deep * inwards);
        }
    }
    (contour, taken)
}

/// The two ends of the body.
fn caps(size: DVec3, disc: bool, faces: [usize; 2]) -> Vec<Host> {
    let middle = 0.5 * size.truncate();
    // A square inside the circle.
    let half = if disc { middle * 0.68 } else { middle };
    let places = [
        Place { origin: middle.extend(0.0), x: DVec3::X, y: DVec3::Y },
        Place { origin: middle.extend(size.z), x: DVec3::X, y: DVec3::NEG_Y },
    ];
    let host = |(i, place): (usize, Place)| Host {
        face: faces[i],
        place,
        half,
        depth: size.z,
        opposite: Some(1 - i),
    };
    places.into_iter().enumerate().map(host).collect()
}

/// The straight walls of the block's own sides.
fn sides(size: DVec3, contour: &Contour, faces: &[usize]) -> Vec<Host> {
    let mut hosts = Vec::new();
    for (i, node) in contour.iter().enumerate() {
        let next = contour[(i + 1) % contour.len()].at;
        if node.label != Feature::Stock {
            continue;
        }
        let along = (next - node.at).normalize();
        let (middle, inwards) = (0.5 * (node.at + next), along.perp());
        // x × y points into the material.
        let (x, z) = (along.extend(0.0), inwards.extend(0.0));
        let place = Place { origin: middle.extend(0.5 * size.z), x, y: z.cross(x) };
        let depth = (inwards * size.truncate()).length();
        let half = DVec2::new(0.5 * node.at.distance(next), 0.5 * size.z);
        hosts.push(Host { face: faces[i], place, half, depth, opposite: None });
    }
    hosts
}

/// Pairs hosts whose centres face each other; a hole between two must fit in both.
fn pair(hosts: &mut [Host]) {
    for i in 2..hosts.len() {
        let faces = |other: &Host| {
            let own = &hosts[i];
            let off = (other.place.origin - own.place.origin).abs();
            own.place.z().dot(other.place.z()) < -0.9
                && off.dot(own.place.x.abs()) < 0.5 * (own.half.x + other.half.x)
        };
        hosts[i].opposite = (2..hosts.len()).find(|&j| faces(&hosts[j]));
    }
}

/// The body with the features cut so far.
struct Room<'a> {
    stream: &'a mut RandomStream,
    builder: &'a mut Builder,
    hosts: Vec<Host>,
    taken: Vec<Cuboid>,
    size: DVec3,
}

impl Room<'_> {
    /// Cuts a feature if there is room for it, else leaves it out.
    fn recess(&mut self, feature: Feature) {
        for _ in 0..TRIES {
            let host = self.stream.below(self.hosts.len() as u64) as usize;
            let done = match feature {
                Feature::ThroughHole | Feature::BlindHole => self.hole(host, feature),
                Feature::Pocket => self.pocket(host),
                Feature::Slot => self.slot(host),
                _ => true,
            };
            if done {
                return;
            }
        }
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.stream.uniform_in(low, high)
    }

    fn hole(&mut self, host: usize, feature: Feature) -> bool {
        let least = self.size.min_element();
        let radius = self.between(2.0, 0.22 * least);
        let size = self.between(0.15, 0.4) * radius;
        let rim = match self.stream.below(5) {
            0 => Rim::Chamfer(size),
            1 => Rim::Fillet(size),
            _ => Rim::Sharp,
        };
        let bottom = match (feature, self.hosts[host].opposite) {
            (Feature::ThroughHole, None) => return false,
            (Feature::ThroughHole, Some(other)) => Bottom::Through(self.hosts[other].face),
            _ => [Bottom::Flat, Bottom::Cone, Bottom::Ball][self.stream.below(3) as usize],
        };
        let through = matches!(bottom, Bottom::Through(_));
        let whole = self.hosts[host].depth;
        let depth = if through { whole } else { self.between(0.2, 0.6) * whole };
        let reach = if through { depth } else { depth + bottom.reach(radius) };
        let wide = DVec2::splat(radius + rim.size());
        let Some(place) = self.place(host, wide, reach, through) else { return false };
        let face = self.hosts[host].face;
        drill(self.builder, face, &place, radius, depth, (rim, bottom), feature);
        true
    }

    fn pocket(&mut self, host: usize) -> bool {
        let room = self.hosts[host].half;
        let half = DVec2::new(self.between(0.12, 0.4), self.between(0.12, 0.4)) * room;
        let round = self.between(0.15, 0.5) * half.min_element();
        let round = if self.stream.below(2) == 0 { round } else { 0.0 };
        let depth = self.between(0.15, 0.6) * self.hosts[host].depth;
        let Some(place) = self.place(host, half, depth, false) else { return false };
        let contour = rectangle(half, round, Feature::Pocket);
        cut(self.builder, self.hosts[host].face, &place, &contour, depth, Bottom::Flat);
        true
    }

    fn slot(&mut self, host: usize) -> bool {
        let room = self.hosts[host].half;
        let radius = self.between(0.08, 0.2) * room.min_element();
        let length = self.between(0.3, 0.7) * room.x;
        let bottom = match (self.stream.below(2), self.hosts[host].opposite) {
            (0, Some(other)) => Bottom::Through(self.hosts[other].face),
            _ => Bottom::Flat,
        };
        let through = bottom != Bottom::Flat;
        let share = if through { 1.0 } else { self.between(0.15, 0.6) };
        let depth = share * self.hosts[host].depth;
        if length < 1.5 * radius {
            return false;
        }
        let half = DVec2::new(length, radius);
        let Some(place) = self.place(host, half, depth, through) else { return false };
        let contour = obround(length, radius, Feature::Slot);
        cut(self.builder, self.hosts[host].face, &place, &contour, depth, bottom);
        true
    }

    /// A random place for a recess of this half size and depth, if there is room at that place.
    fn place(&mut self, host: usize, half: DVec2, depth: f64, through: bool) -> Option<Place> {
        let free = self.hosts[host].half - half - DVec2::splat(MARGIN);
        if free.min_element() < 0.0 {
            return None;
        }
        let off = DVec2::new(self.between(-free.x, free.x), self.between(-free.y, free.y));
        let host = &self.hosts[host];
        let place = Place { origin: host.place.point(off, 0.0), ..host.place };
        let cuboid = Cuboid::spanned(place.point(-half, 0.0), place.point(half, depth));
        if let Some(other) = host.opposite.filter(|_| through) {
            let other = &self.hosts[other];
            let (one, end) =
                (other.place.point(-other.half, 0.0), other.place.point(other.half, depth));
            let margin = DVec3::splat(MARGIN) - MARGIN * host.place.z().abs();
            if !Cuboid::spanned(one, end).contains(&cuboid.widened(margin)) {
                return None;
            }
        } else if depth > host.depth - 2.0 * MARGIN {
            return None;
        }
        let margin = DVec3::splat(MARGIN);
        if self.taken.iter().any(|taken| taken.meets(&cuboid.widened(margin))) {
            return None;
        }
        self.taken.push(cuboid);
        Some(place)
    }
}
