// Open CASCADE alone, for a comparison with `prepare-step`: reads each STEP or BREP file that is
// named, and asks 2,000 points of each face's box whether they are inside the trim and where they
// lie; where the first name is --bounds, for the least box around each shape, too. Prints how many
// files and faces there were.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>

#include <BRepAdaptor_Surface.hxx>
#include <BRepBndLib.hxx>
#include <BRepTools.hxx>
#include <BRepTopAdaptor_FClass2d.hxx>
#include <BRep_Builder.hxx>
#include <Bnd_Box.hxx>
#include <Message.hxx>
#include <Message_Messenger.hxx>
#include <Message_PrinterOStream.hxx>
#include <STEPControl_Reader.hxx>
#include <Standard_Failure.hxx>
#include <TopExp.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS.hxx>
#include <gp_Pnt.hxx>
#include <gp_Pnt2d.hxx>

int main(int count, char** names) {
  Message::DefaultMessenger()->RemovePrinters(STANDARD_TYPE(Message_PrinterOStream));
  std::mt19937 random(0);
  std::uniform_real_distribution<double> place(-0.1, 1.1);
  size_t files = 0, all = 0, inside = 0;
  double sum = 0;
  const bool bounds = count > 1 && std::string(names[1]) == "--bounds";
  for (int i = bounds ? 2 : 1; i < count; ++i) {
    try {
      const std::string name = names[i];
      TopoDS_Shape shape;
      if (name.size() > 5 && name.substr(name.size() - 5) == ".brep") {
        BRep_Builder builder;
        if (!BRepTools::Read(shape, names[i], builder)) continue;
      } else {
        STEPControl_Reader reader;
        if (reader.ReadFile(names[i]) != IFSelect_RetDone || reader.TransferRoots() < 1) continue;
        shape = reader.OneShape();
      }
      if (bounds) {
        Bnd_Box box;
        BRepBndLib::AddOptimal(shape, box, Standard_False, Standard_False);
        sum += box.IsVoid() ? 0 : box.CornerMax().X();
      }
      TopTools_IndexedMapOfShape faces;
      TopExp::MapShapes(shape, TopAbs_FACE, faces);
      for (int f = 1; f <= faces.Extent(); ++f) {
        const TopoDS_Face& face = TopoDS::Face(faces(f));
        BRepAdaptor_Surface surface(face, Standard_False);
        BRepTopAdaptor_FClass2d trim(face, 1e-9);
        double u0, u1, v0, v1;
        BRepTools::UVBounds(face, u0, u1, v0, v1);
        for (int k = 0; k < 2000; ++k) {
          const double u = u0 + place(random) * (u1 - u0), v = v0 + place(random) * (v1 - v0);
          inside += trim.Perform(gp_Pnt2d(u, v), Standard_True) == TopAbs_IN;
          const gp_Pnt point =
              surface.Value(std::clamp(u, surface.FirstUParameter(), surface.LastUParameter()),
                            std::clamp(v, surface.FirstVParameter(), surface.LastVParameter()));
          sum += point.X();
        }
      }
      files += faces.Extent() > 0;
      all += faces.Extent();
    } catch (const Standard_Failure&) {
    }
  }
  std::printf("%zu files, %zu faces, %zu points inside, %g\n", files, all, inside, sum);
}
