"""An environment with llama.cpp, built for a processor from llama-cpp-python's source."""

import os
import subprocess
import sys
from pathlib import Path

VERSION = "0.3.36"
# Optimized for the very processor, or for any with AVX2; and without what reads images.
_AVX2 = "-DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
FLAGS = {
    "native": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF",
    "avx2": f"-DGGML_NATIVE=OFF {_AVX2} -DLLAVA_BUILD=OFF",
}
PACKAGES = (f"llama-cpp-python=={VERSION}", "gguf", "safetensors")


def find_llama_cpp(folder: Path, instructions: str) -> str:
    """Return the interpreter of an environment with llama-cpp-python, which is built if need be.

    Building takes ten minutes or more.

    Args:
        folder: of the environment.
        instructions: a key of FLAGS; what is there already is taken as it is.

    Raises:
        RuntimeError: it cannot be built; what pip said stands before.
    """
    python = folder.absolute() / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    imports = "import llama_cpp, gguf, safetensors"
    if subprocess.run([python, "-c", imports], capture_output=True).returncode:
        print(f"building {PACKAGES[0]} in {folder}", file=sys.stderr, flush=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--no-binary",
            "llama-cpp-python",
            *PACKAGES,
        ]
        flags = f"{FLAGS[instructions]} {os.environ.get('CMAKE_ARGS', '')}"
        if subprocess.run(command, env={**os.environ, "CMAKE_ARGS": flags}).returncode:
            raise RuntimeError(f"{folder}: llama-cpp-python cannot be built, see above")
    return str(python)
