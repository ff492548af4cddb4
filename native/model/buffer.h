// Memory that a step works in and the next one finds again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace qingtan {

// Room for plain numbers, 64-byte aligned. It only grows, so that steady steps allocate nothing.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { operator delete(data_, kAlignment); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // Room for so many; what was in it is lost where it grows.
  void reserve(int64_t count) {
    if (count <= room_) {
      return;
    }
    operator delete(data_, kAlignment);
    data_ = nullptr;
    room_ = 0;
    data_ = static_cast<T*>(operator new(static_cast<size_t>(count) * sizeof(T), kAlignment));
    room_ = count;
  }

  T* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  T* data_ = nullptr;
  int64_t room_ = 0;
};

}  // namespace qingtan
