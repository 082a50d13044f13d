"""What was found, as JSON for programs and as Markdown for people, written after each part."""

import json
import time

from program import Failed


class Record:
    """The parts so far."""

    def __init__(self, folder, dry):
        self.folder, self.failed, self.parts = folder, [], {}
        self.head = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "dry_run": dry}

    def part(self, name, measure):
        """Measures a part; one that fails is recorded, and gives nothing."""
        start = time.monotonic()
        try:
            found = measure()
            self.parts[name] = {"state": "held", **found}
        except Failed as failure:
            found, self.parts[name] = None, {"state": "failed", "problem": str(failure)}
            self.failed.append(name)
        except Exception as error:  # A fault of this script must not cost the other parts.
            problem = f"{type(error).__name__}: {error}"
            found, self.parts[name] = None, {"state": "failed", "problem": problem}
            self.failed.append(name)
        self.parts[name]["seconds"] = round(time.monotonic() - start, 1)
        self.write()
        return found

    def left_out(self, name, why):
        """Says that a part was not measured."""
        self.parts[name] = {"state": "left out", "problem": why}
        self.write()

    def end(self, seconds):
        """The whole took so long."""
        self.head["seconds"] = round(seconds)
        self.write()

    def write(self):
        """Both files."""
        whole = {**self.head, "parts": self.parts}
        (self.folder / "gpu.json").write_text(json.dumps(whole, indent=2) + "\n")
        (self.folder / "gpu.md").write_text(self.markdown())

    def markdown(self):
        """The record for people."""
        title = "# Dry run of the GPU script, on the CPU" if self.head["dry_run"] else "# On a GPU"
        lines = [title, "", self.head["date"] + "".join(
            f"; {key} {value}" for key, value in self.parts.get("machine", {}).items()
            if key not in ("state", "seconds")), ""]
        lines += ["| part | | | s |", "|---|---|---|---|"]
        for name, part in self.parts.items():
            if not name.startswith("speed"):
                said = part.get("problem") or self.said(name, part)
                lines.append(f"| {name} | {part['state']} | {said} | {part.get('seconds', '')} |")
        lines += ["", "Training steps of MAE in bf16, 75 % hidden: images a second, share of the "
                  "largest measured rate of bf16 products.", "",
                  "| model | batch | way | images/s | of peak | bauta over it |",
                  "|---|---|---|---|---|---|"]
        for name, part in self.parts.items():
            if not name.startswith("speed"):
                continue
            if part["state"] != "held":
                lines.append(f"| {name[6:]} | | {part['state']}: {part['problem']} | | | |")
            for way in part.get("ways", []):
                figures = way.get("failed") or ""
                rate, share, over = (way.get(key) for key in
                                     ("images_per_second", "peak_share", "bauta_over_it"))
                if rate:
                    figures = f"{rate:.0f} | {100 * share:.1f} % | "
                    figures += f"{over:.2f}" if over else ""
                else:
                    figures += " | | "
                lines.append(f"| {part['model']} | {part['batch']} | {way['way']} | {figures} |")
            if "peers" in part:
                lines += ["", f"PyTorch: {part['peers']}."]
        return "\n".join(lines) + "\n"

    @staticmethod
    def said(name, part):
        """A part's finding in words."""
        if name == "gpu":
            return part["gpu"]
        if name == "twenty_steps":
            worst = part["largest_relative_difference"]
            return f"losses of {part['steps']} steps on both differ by at most {worst:.1e}"
        if name == "forward":
            worst = {of: max(found.values()) for of, found in part["largest_differences"].items()}
            return ", ".join(f"{of} within {most:.1e}" for of, most in worst.items())
        if name == "resume":
            bits = "the same bits" if part["equal_bits"] else (
                f"weights within {part['largest_difference']:.1e}")
            return f"killed after step {part['killed_at_step']} and resumed: {bits}"
        if name == "training":
            figures = ", ".join(f"{key} {value:.4f}" for key, value in part["eval"].items())
            return f"{part['epochs']} epochs, {part['parts']}: {figures}"
        return ""
