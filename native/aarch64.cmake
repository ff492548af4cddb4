# The native tests for 64-bit Arm on another processor, with Debian's g++-aarch64-linux-gnu and
# qemu-user:
#
#   cmake -S . -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=native/aarch64.cmake -DQINGTAN_MODULE=OFF \
#     -DQINGTAN_TESTS=ON
#   cmake --build build/aarch64 && ctest --test-dir build/aarch64/native
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# "max" has all that the kernels look for, dot products among it.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
