//! Solids as STEP files (ISO 10303-21, AP214), in which each face is named after its class.

use std::fmt::Write;

use glam::DVec3;
use strum::VariantArray;

use super::{Curve, Frame, LoopKind, Solid, Surface};
use crate::Feature;

/// The text before the geometry: a product in millimetres and radians, whose shape is #20.
const PRODUCT: &str = "\
ISO-10303-21;
HEADER;
FILE_DESCRIPTION(('generated part'),'2;1');
FILE_NAME('','',(''),(''),'','','');
FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));
ENDSEC;
DATA;
#1=APPLICATION_CONTEXT('automotive design');
#2=APPLICATION_PROTOCOL_DEFINITION('','automotive_design',2000,#1);
#3=PRODUCT_CONTEXT('',#1,'mechanical');
#4=PRODUCT('part','part','',(#3));
#5=PRODUCT_DEFINITION_FORMATION('','',#4);
#6=PRODUCT_DEFINITION_CONTEXT('part definition',#1,'design');
#7=PRODUCT_DEFINITION('design','',#5,#6);
#8=PRODUCT_DEFINITION_SHAPE('','',#7);
#9=SHAPE_DEFINITION_REPRESENTATION(#8,#20);
#10=(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.));
#11=(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.));
#12=(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT());
#13=UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-6),#10,'distance_accuracy_value','');
#14=(GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT((#13))\
GLOBAL_UNIT_ASSIGNED_CONTEXT((#10,#11,#12))REPRESENTATION_CONTEXT('',''));
";

/// A writer of consecutively numbered entities.
struct Writer {
    text: String,
    next: usize,
}

impl Writer {
    fn add(&mut self, entity: &str) -> usize {
        let number = self.next;
        self.next += 1;
        writeln!(self.text, "#{number}={entity};").expect("a text can be written to");
        number
    }

    fn point(&mut self, point: DVec3) -> usize {
        self.add(&format!("CARTESIAN_POINT('',{})", list(point)))
    }

    fn direction(&mut self, direction: DVec3) -> usize {
        self.add(&format!("DIRECTION('',{})", list(direction)))
    }

    fn place(&mut self, frame: &Frame) -> usize {
        let (origin, z) = (self.point(frame.origin), self.direction(frame.z));
        let x = self.direction(frame.x);
        self.add(&format!("AXIS2_PLACEMENT_3D('',#{origin},#{z},#{x})"))
    }

    /// A surface or a curve with a frame and sizes.
    fn turning(&mut self, name: &str, frame: &Frame, sizes: &[f64]) -> usize {
        let place = self.place(frame);
        let sizes: String = sizes.iter().map(|&size| format!(",{}", real(size))).collect();
        self.add(&format!("{name}('',#{place}{sizes})"))
    }

    fn surface(&mut self, surface: &Surface) -> Option<usize> {
        Some(match surface {
            Surface::Plane(frame) => self.turning("PLANE", frame, &[]),
            Surface::Cylinder { frame, radius } => {
                self.turning("CYLINDRICAL_SURFACE", frame, &[*radius])
            }
            Surface::Cone { frame, radius, semi_angle } => {
                self.turning("CONICAL_SURFACE", frame, &[*radius, *semi_angle])
            }
            Surface::Sphere { frame, radius } => {
                self.turning("SPHERICAL_SURFACE", frame, &[*radius])
            }
            Surface::Torus { frame, major, minor } => {
                self.turning("TOROIDAL_SURFACE", frame, &[*major, *minor])
            }
            Surface::Other => return None,
        })
    }

    fn curve(&mut self, curve: &Curve) -> Option<usize> {
        Some(match curve {
            Curve::Line { origin, direction } => {
                let (origin, direction) = (self.point(*origin), self.direction(*direction));
                let vector = self.add(&format!("VECTOR('',#{direction},1.)"));
                self.add(&format!("LINE('',#{origin},#{vector})"))
            }
            Curve::Circle { frame, radius } => self.turning("CIRCLE", frame, &[*radius]),
            Curve::Ellipse { frame, major, minor } => {
                self.turning("ELLIPSE", frame, &[*major, *minor])
            }
            Curve::Other => return None,
        })
    }
}

impl Solid {
    /// The solid as the text of a STEP file; `None` if a surface or a curve is not of a simple
    /// kind.
    pub fn to_step(&self) -> Option<String> {
        // The shape comes last, under the number that the product refers to.
        let mut writer = Writer { text: PRODUCT.to_owned(), next: 30 };
        let graph = &self.graph;
        let vertices: Vec<usize> = graph
            .vertices
            .iter()
            .map(|&vertex| {
                let point = writer.point(vertex);
                writer.add(&format!("VERTEX_POINT('',#{point})"))
            })
            .collect();
        let mut ends = vec![[0; 2]; graph.edges.len()];
        for it in &graph.vertex_edge {
            ends[it.to as usize][usize::from(!it.flag)] = vertices[it.from as usize];
        }
        let mut edges = Vec::with_capacity(ends.len());
        for (edge, [start, end]) in graph.edges.iter().zip(&ends) {
            let curve = writer.curve(&edge.curve)?;
            edges.push(writer.add(&format!("EDGE_CURVE('',#{start},#{end},#{curve},.T.)")));
        }
        let mut loops: Vec<Vec<usize>> = vec![Vec::new(); graph.loops.len()];
        for it in &graph.edge_loop {
            let edge = edges[it.from as usize];
            let sense = logical(!it.flag);
            let entity = format!("ORIENTED_EDGE('',*,*,#{edge},{sense})");
            loops[it.to as usize].push(writer.add(&entity));
        }
        let mut bounds: Vec<Vec<usize>> = vec![Vec::new(); graph.faces.len()];
        for ((edges, kind), &face) in loops.iter().zip(&graph.loops).zip(&graph.loop_face) {
            let edges = writer.add(&format!("EDGE_LOOP('',{})", references(edges)));
            let outer = if *kind == LoopKind::Outer { "FACE_OUTER_BOUND" } else { "FACE_BOUND" };
            bounds[face as usize].push(writer.add(&format!("{outer}('',#{edges},.T.)")));
        }
        let mut faces = Vec::with_capacity(bounds.len());
        for ((face, bounds), &label) in graph.faces.iter().zip(&bounds).zip(&self.labels) {
            let (surface, bounds) = (writer.surface(&face.surface)?, references(bounds));
            let sense = logical(!face.flipped);
            let name = Feature::VARIANTS.get(label as usize).map(Feature::to_string);
            let name = name.unwrap_or_else(|| label.to_string());
            let entity = format!("ADVANCED_FACE('{name}',{bounds},#{surface},{sense})");
            faces.push(writer.add(&entity));
        }
        let shell = writer.add(&format!("CLOSED_SHELL('',{})", references(&faces)));
        let body = writer.add(&format!("MANIFOLD_SOLID_BREP('part',#{shell})"));
        let frame = Frame { origin: DVec3::ZERO, z: DVec3::Z, x: DVec3::X };
        let place = writer.place(&frame);
        let shape = format!("ADVANCED_BREP_SHAPE_REPRESENTATION('',(#{place},#{body}),#14)");
        writer.next = 20;
        writer.add(&shape);
        writer.text += "ENDSEC;\nEND-ISO-10303-21;\n";
        Some(writer.text)
    }
}

/// A number in STEP's format, always with a decimal point.
fn real(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, power)) if digits.contains('.') => format!("{digits}E{power}"),
        Some((digits, power)) => format!("{digits}.E{power}"),
        None => text,
    }
}

fn list(vector: DVec3) -> String {
    let [x, y, z] = vector.to_array().map(real);
    format!("({x},{y},{z})")
}

fn references(numbers: &[usize]) -> String {
    let names: Vec<String> = numbers.iter().map(|number| format!("#{number}")).collect();
    format!("({})", names.join(","))
}

fn logical(value: bool) -> &'static str {
    if value { ".T." } else { ".F." }
}
