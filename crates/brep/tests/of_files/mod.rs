//! STEP files for tests, unlike any generated part.

use bauta_brep::generate::Parts;

/// The text before the geometry in a STEP file; the shape is #20, the next free number 30.
pub fn header() -> String {
    let text = Parts { seed: 0 }.solid(1).to_step().unwrap();
    text.split_once("#30=").unwrap().0.to_owned()
}

/// An open shell of square pages that share the edge from #30 to #31, as a STEP file; with
/// `splines`, its surfaces and curves are splines.
pub fn pages(count: usize, splines: bool) -> String {
    let mut text = header();
    let mut next = 30;
    let mut add = |entity: String| {
        text += &format!("#{next}={entity};\n");
        next += 1;
        next - 1
    };
    let mut point = |[x, y, z]: [f64; 3]| add(format!("CARTESIAN_POINT('',({x:?},{y:?},{z:?}))"));
    let spine = [point([0.0; 3]), point([0.0, 0.0, 1.0])];
    let angle = |page: usize| page as f64 * 2.0;
    let far: Vec<[usize; 2]> = (0..count)
        .map(|page| {
            let (y, x) = angle(page).sin_cos();
            [point([x, y, 0.0]), point([x, y, 1.0])]
        })
        .collect();
    let up = add("DIRECTION('',(0.,0.,1.))".to_owned());
    let mut edge = |from: usize, to: usize, along: [f64; 3]| {
        let curve = if splines {
            add(format!(
                "B_SPLINE_CURVE_WITH_KNOTS('',1,(#{from},#{to}),.UNSPECIFIED.,.F.,.F.,(2,2),\
                 (0.,1.),.UNSPECIFIED.)"
            ))
        } else {
            let [x, y, z] = along;
            let direction = add(format!("DIRECTION('',({x:?},{y:?},{z:?}))"));
            let vector = add(format!("VECTOR('',#{direction},1.)"));
            add(format!("LINE('',#{from},#{vector})"))
        };
        let ends = [from, to].map(|end| add(format!("VERTEX_POINT('',#{end})")));
        add(format!("EDGE_CURVE('',#{},#{},#{curve},.T.)", ends[0], ends[1]))
    };
    let shared = edge(spine[0], spine[1], [0.0, 0.0, 1.0]);
    let mut borders = Vec::new();
    for (page, far) in far.iter().enumerate() {
        let (y, x) = angle(page).sin_cos();
        borders.push([
            edge(spine[0], far[0], [x, y, 0.0]),
            edge(far[0], far[1], [0.0, 0.0, 1.0]),
            edge(spine[1], far[1], [x, y, 0.0]),
        ]);
    }
    let mut faces = Vec::new();
    for (page, ([low, side, high], far)) in borders.into_iter().zip(&far).enumerate() {
        let uses = [(low, ".T."), (side, ".T."), (high, ".F."), (shared, ".F.")];
        let uses = uses.map(|(edge, sense)| add(format!("ORIENTED_EDGE('',*,*,#{edge},{sense})")));
        let uses = uses.map(|number| format!("#{number}")).join(",");
        let edges = add(format!("EDGE_LOOP('',({uses}))"));
        let bound = add(format!("FACE_OUTER_BOUND('',#{edges},.T.)"));
        let surface = if splines {
            let [a, b, c, d] = [spine[0], spine[1], far[0], far[1]];
            add(format!(
                "B_SPLINE_SURFACE_WITH_KNOTS('',1,1,((#{a},#{b}),(#{c},#{d})),.UNSPECIFIED.,.F.,\
                 .F.,.F.,(2,2),(2,2),(0.,1.),(0.,1.),.UNSPECIFIED.)"
            ))
        } else {
            let (y, x) = angle(page).sin_cos();
            let normal = add(format!("DIRECTION('',({y:?},{:?},0.))", -x));
            let place = add(format!("AXIS2_PLACEMENT_3D('',#{},#{normal},#{up})", spine[0]));
            add(format!("PLANE('',#{place})"))
        };
        faces.push(add(format!("ADVANCED_FACE('',(#{bound}),#{surface},.T.)")));
    }
    let faces: Vec<String> = faces.into_iter().map(|number| format!("#{number}")).collect();
    let shell = add(format!("OPEN_SHELL('',({}))", faces.join(",")));
    let model = add(format!("SHELL_BASED_SURFACE_MODEL('',(#{shell}))"));
    text += &format!("#20=MANIFOLD_SURFACE_SHAPE_REPRESENTATION('',(#{model}),#14);\n");
    text + "ENDSEC;\nEND-ISO-10303-21;\n"
}

/// Two bodies in one file.
pub fn assembly() -> String {
    let text = Parts { seed: 0 }.solid(1).to_step().unwrap();
    let (first, body) = text.split_once("=MANIFOLD_SOLID_BREP('part',#").unwrap();
    let number = &first[first.rfind('#').unwrap() + 1..];
    let (shell, rest) = body.split_once(')').unwrap();
    let rest = rest.replacen(&format!("#{number})"), &format!("#{number},#29)"), 1);
    format!(
        "{first}=MANIFOLD_SOLID_BREP('part',#{shell});\n#29=MANIFOLD_SOLID_BREP('other',#{shell}){rest}"
    )
}
