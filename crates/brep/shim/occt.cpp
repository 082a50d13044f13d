// What is needed of Open CASCADE: a shape of a STEP or BREP file as flat arrays, and points of
// its faces, told whether they are inside the trims. Every function catches what the kernel
// throws; a kernel that crashes or hangs is the business of the process around it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <BRepAdaptor_Curve.hxx>
#include <BRepAdaptor_Surface.hxx>
#include <BRepBndLib.hxx>
#include <BRepTools.hxx>
#include <BRepTopAdaptor_FClass2d.hxx>
#include <BRep_Builder.hxx>
#include <BRep_Tool.hxx>
#include <Bnd_Box.hxx>
#include <Interface_Static.hxx>
#include <Message.hxx>
#include <Message_Messenger.hxx>
#include <Message_PrinterOStream.hxx>
#include <STEPControl_Reader.hxx>
#include <Standard_Failure.hxx>
#include <Standard_Version.hxx>
#include <StepRepr_RepresentationItem.hxx>
#include <TCollection_HAsciiString.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS.hxx>
#include <TransferBRep.hxx>
#include <Transfer_TransientProcess.hxx>
#include <XSControl_TransferReader.hxx>
#include <XSControl_WorkSession.hxx>
#include <gp_Ax3.hxx>
#include <gp_Circ.hxx>
#include <gp_Cone.hxx>
#include <gp_Cylinder.hxx>
#include <gp_Elips.hxx>
#include <gp_Lin.hxx>
#include <gp_Pln.hxx>
#include <gp_Sphere.hxx>
#include <gp_Torus.hxx>

namespace {

// Numbers of a face: kind, flipped, origin 3, z 3, x 3, three sizes, least u, v, greatest u, v.
constexpr int kFace = 18;
// Numbers of an edge: kind, flipped, origin 3, z 3, x 3, two sizes, first, last parameter.
constexpr int kEdge = 15;
constexpr int kOther = 5;

struct Shape {
  TopoDS_Shape shape;
  TopTools_IndexedMapOfShape faces, edges, vertices;
  std::vector<double> face_rows, edge_rows, vertex_rows;
  // Each three numbers: what bounds, what is bounded, a flag.
  std::vector<int32_t> vertex_edge, edge_loop;
  std::vector<int32_t> loop_outer, loop_face;
  // Whether a surface's frame is left-handed, so that its v runs backwards here.
  std::vector<bool> mirrored;
  std::vector<std::string> names;
  double bounds[6];
  int solids = 0;
};

void put(std::vector<double>& row, const gp_XYZ& v) {
  row.insert(row.end(), {v.X(), v.Y(), v.Z()});
}

void put_frame(std::vector<double>& row, const gp_Pnt& o, const gp_XYZ& z, const gp_XYZ& x) {
  put(row, o.XYZ());
  put(row, z);
  put(row, x);
}

bool add_face(Shape& out, const TopoDS_Face& face) {
  BRepAdaptor_Surface surface(face, Standard_False);
  double u0, u1, v0, v1;
  BRepTools::UVBounds(face, u0, u1, v0, v1);
  for (double bound : {u0, u1, v0, v1})
    if (!std::isfinite(bound) || std::fabs(bound) > 1e50) return false;
  gp_Ax3 place;
  int kind = kOther;
  double sizes[3] = {0, 0, 0};
  switch (surface.GetType()) {
    case GeomAbs_Plane: kind = 0; place = surface.Plane().Position(); break;
    case GeomAbs_Cylinder:
      kind = 1; place = surface.Cylinder().Position(); sizes[0] = surface.Cylinder().Radius();
      break;
    case GeomAbs_Cone:
      kind = 2; place = surface.Cone().Position(); sizes[0] = surface.Cone().RefRadius();
      sizes[2] = surface.Cone().SemiAngle();
      break;
    case GeomAbs_Sphere:
      kind = 3; place = surface.Sphere().Position(); sizes[0] = surface.Sphere().Radius();
      break;
    case GeomAbs_Torus:
      kind = 4; place = surface.Torus().Position(); sizes[0] = surface.Torus().MajorRadius();
      sizes[1] = surface.Torus().MinorRadius();
      break;
    default: break;
  }
  gp_XYZ z = place.Direction().XYZ();
  bool left = kind != kOther && !place.Direct();
  if (left) z.Reverse();
  bool mirrored = left && kind != 0;
  if (mirrored) {
    sizes[2] = -sizes[2];
    double low = -v1;
    v1 = -v0;
    v0 = low;
  }
  auto& row = out.face_rows;
  row.insert(row.end(), {double(kind), double(face.Orientation() == TopAbs_REVERSED)});
  put_frame(row, place.Location(), z, place.XDirection().XYZ());
  row.insert(row.end(), {sizes[0], sizes[1], sizes[2], u0, v0, u1, v1});
  out.mirrored.push_back(mirrored);
  return true;
}

void add_edge(Shape& out, const TopoDS_Edge& edge) {
  int kind = 3;
  gp_Pnt origin;
  gp_XYZ z, x;
  double sizes[2] = {0, 0}, range[2] = {0, 0};
  try {
    BRepAdaptor_Curve curve(edge);
    range[0] = curve.FirstParameter();
    range[1] = curve.LastParameter();
    switch (curve.GetType()) {
      case GeomAbs_Line:
        kind = 0; origin = curve.Line().Location(); z = curve.Line().Direction().XYZ();
        break;
      case GeomAbs_Circle:
        kind = 1; origin = curve.Circle().Location(); z = curve.Circle().Axis().Direction().XYZ();
        x = curve.Circle().XAxis().Direction().XYZ(); sizes[0] = curve.Circle().Radius();
        break;
      case GeomAbs_Ellipse:
        kind = 2; origin = curve.Ellipse().Location();
        z = curve.Ellipse().Axis().Direction().XYZ();
        x = curve.Ellipse().XAxis().Direction().XYZ();
        sizes[0] = curve.Ellipse().MajorRadius(); sizes[1] = curve.Ellipse().MinorRadius();
        break;
      default: break;
    }
  } catch (const Standard_Failure&) {
    kind = 3;
  }
  auto& row = out.edge_rows;
  row.insert(row.end(), {double(kind), double(edge.Orientation() == TopAbs_REVERSED)});
  put_frame(row, origin, z, x);
  row.insert(row.end(), {sizes[0], sizes[1], range[0], range[1]});
}

// Fills the arrays; gives what is wrong with the shape, or nothing.
std::string describe(Shape& out) {
  if (out.shape.IsNull()) return "it holds no shape";
  TopExp::MapShapes(out.shape, TopAbs_FACE, out.faces);
  TopExp::MapShapes(out.shape, TopAbs_VERTEX, out.vertices);
  TopTools_IndexedMapOfShape edges, solids;
  TopExp::MapShapes(out.shape, TopAbs_EDGE, edges);
  TopExp::MapShapes(out.shape, TopAbs_SOLID, solids);
  out.solids = solids.Extent();
  if (out.faces.IsEmpty()) return "it has no face";
  for (int i = 1; i <= edges.Extent(); ++i)
    if (!BRep_Tool::Degenerated(TopoDS::Edge(edges(i)))) out.edges.Add(edges(i));
  for (int i = 1; i <= out.vertices.Extent(); ++i)
    put(out.vertex_rows, BRep_Tool::Pnt(TopoDS::Vertex(out.vertices(i))).XYZ());
  for (int i = 1; i <= out.edges.Extent(); ++i) {
    const TopoDS_Edge& edge = TopoDS::Edge(out.edges(i));
    add_edge(out, edge);
    const TopoDS_Edge forward = TopoDS::Edge(edge.Oriented(TopAbs_FORWARD));
    const TopoDS_Vertex ends[2] = {TopExp::FirstVertex(forward), TopExp::LastVertex(forward)};
    for (int end = 0; end < 2; ++end)
      if (!ends[end].IsNull() && out.vertices.Contains(ends[end]))
        out.vertex_edge.insert(out.vertex_edge.end(),
                               {out.vertices.FindIndex(ends[end]) - 1, i - 1, end == 0});
  }
  for (int i = 1; i <= out.faces.Extent(); ++i) {
    const TopoDS_Face& face = TopoDS::Face(out.faces(i));
    if (!add_face(out, face)) return "a face has no bounds";
    const TopoDS_Wire outer = BRepTools::OuterWire(face);
    for (TopExp_Explorer wires(face, TopAbs_WIRE); wires.More(); wires.Next()) {
      int loop = int(out.loop_face.size());
      out.loop_face.push_back(i - 1);
      out.loop_outer.push_back(!outer.IsNull() && wires.Current().IsSame(outer));
      for (TopExp_Explorer it(wires.Current(), TopAbs_EDGE); it.More(); it.Next())
        if (out.edges.Contains(it.Current()))
          out.edge_loop.insert(out.edge_loop.end(),
                               {out.edges.FindIndex(it.Current()) - 1, loop,
                                it.Current().Orientation() == TopAbs_REVERSED});
    }
  }
  Bnd_Box box;
  BRepBndLib::AddOptimal(out.shape, box, Standard_False, Standard_False);
  if (box.IsVoid() || box.IsOpen()) return "its bounds are not finite";
  box.SetGap(0.0);
  box.Get(out.bounds[0], out.bounds[1], out.bounds[2], out.bounds[3], out.bounds[4], out.bounds[5]);
  out.names.resize(out.faces.Extent());
  return "";
}

void read_names(Shape& out, STEPControl_Reader& reader) {
  const auto transfer = reader.WS()->TransferReader();
  for (int i = 1; i <= out.faces.Extent(); ++i) {
    const auto entity = transfer->EntityFromShapeResult(out.faces(i), 1);
    const auto item = Handle(StepRepr_RepresentationItem)::DownCast(entity);
    if (!item.IsNull() && !item->Name().IsNull()) out.names[i - 1] = item->Name()->ToCString();
  }
}

std::string read(const char* path, bool brep, Shape& out) {
  if (brep) {
    BRep_Builder builder;
    if (!BRepTools::Read(out.shape, path, builder)) return "it is not a BREP file";
    return describe(out);
  }
  STEPControl_Reader reader;
  if (reader.ReadFile(path) != IFSelect_RetDone) return "it is not a readable STEP file";
  if (reader.TransferRoots() < 1) return "it holds no shape";
  out.shape = reader.OneShape();
  const std::string wrong = describe(out);
  if (wrong.empty()) read_names(out, reader);
  return wrong;
}

template <typename F>
std::string guarded(F f) {
  try {
    return f();
  } catch (const Standard_Failure& failure) {
    const char* text = failure.GetMessageString();
    return std::string("Open CASCADE: ") + (text && *text ? text : failure.DynamicType()->Name());
  } catch (const std::exception& failure) {
    return std::string("Open CASCADE: ") + failure.what();
  } catch (...) {
    return "Open CASCADE threw something unknown";
  }
}

int told(const std::string& wrong, char* error, size_t length) {
  std::strncpy(error, wrong.c_str(), length - 1);
  error[length - 1] = 0;
  return wrong.empty() ? 0 : 1;
}

}  // namespace

extern "C" {

const char* bauta_occt_version() { return OCC_VERSION_COMPLETE; }

// Bounds the address space of this process, and the processor time that it takes from now on.
int bauta_occt_limit(uint64_t bytes, uint64_t seconds) {
  rusage used;
  rlimit time;
  if (getrusage(RUSAGE_SELF, &used) | getrlimit(RLIMIT_CPU, &time)) return -1;
  const rlim_t until = rlim_t(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1 + seconds;
  time.rlim_cur = std::min(until, time.rlim_max);
  const rlimit memory{bytes, bytes};
  return setrlimit(RLIMIT_AS, &memory) | setrlimit(RLIMIT_CPU, &time);
}

int bauta_occt_read(const char* path, int brep, Shape** out, char* error, size_t length) {
  auto shape = std::make_unique<Shape>();
  const std::string wrong = guarded([&] {
    Message::DefaultMessenger()->RemovePrinters(STANDARD_TYPE(Message_PrinterOStream));
    return read(path, brep != 0, *shape);
  });
  if (wrong.empty()) *out = shape.release();
  return told(wrong, error, length);
}

void bauta_occt_free(Shape* shape) { delete shape; }

// Faces, edges, vertices, loops, rows of vertex_edge, rows of edge_loop, solids.
void bauta_occt_counts(const Shape* shape, size_t* counts) {
  counts[0] = shape->face_rows.size() / kFace;
  counts[1] = shape->edge_rows.size() / kEdge;
  counts[2] = shape->vertex_rows.size() / 3;
  counts[3] = shape->loop_face.size();
  counts[4] = shape->vertex_edge.size() / 3;
  counts[5] = shape->edge_loop.size() / 3;
  counts[6] = size_t(shape->solids);
}

const double* bauta_occt_faces(const Shape* shape) { return shape->face_rows.data(); }
const double* bauta_occt_edges(const Shape* shape) { return shape->edge_rows.data(); }
const double* bauta_occt_vertices(const Shape* shape) { return shape->vertex_rows.data(); }
const double* bauta_occt_bounds(const Shape* shape) { return shape->bounds; }
const int32_t* bauta_occt_vertex_edge(const Shape* shape) { return shape->vertex_edge.data(); }
const int32_t* bauta_occt_edge_loop(const Shape* shape) { return shape->edge_loop.data(); }
const int32_t* bauta_occt_loop_outer(const Shape* shape) { return shape->loop_outer.data(); }
const int32_t* bauta_occt_loop_face(const Shape* shape) { return shape->loop_face.data(); }
const char* bauta_occt_name(const Shape* shape, size_t face) { return shape->names[face].c_str(); }

// Points of a face at `count` places (a, b) of its unit square, and whether each is inside.
int bauta_occt_sample(const Shape* shape, size_t number, const double* units, size_t count,
                      double* points, uint8_t* inside, char* error, size_t length) {
  const std::string wrong = guarded([&]() -> std::string {
    const TopoDS_Face& face = TopoDS::Face(shape->faces(int(number) + 1));
    BRepAdaptor_Surface surface(face, Standard_False);
    BRepTopAdaptor_FClass2d trim(face, 1e-9);
    const double* row = shape->face_rows.data() + number * kFace;
    const double u0 = row[14], v0 = row[15], u1 = row[16], v1 = row[17];
    const bool free = int(row[0]) != kOther;
    for (size_t i = 0; i < count; ++i) {
      double u = u0 + units[2 * i] * (u1 - u0), v = v0 + units[2 * i + 1] * (v1 - v0);
      if (shape->mirrored[number]) v = -v;
      inside[i] = trim.Perform(gp_Pnt2d(u, v), Standard_True) == TopAbs_IN;
      if (!free) {
        // A surface of patches is not defined beyond them.
        u = std::min(std::max(u, surface.FirstUParameter()), surface.LastUParameter());
        v = std::min(std::max(v, surface.FirstVParameter()), surface.LastVParameter());
      }
      const gp_Pnt point = surface.Value(u, v);
      points[3 * i] = point.X();
      points[3 * i + 1] = point.Y();
      points[3 * i + 2] = point.Z();
    }
    return "";
  });
  return told(wrong, error, length);
}

}  // extern "C"
