/*
 * State for functions in C++: containers that hide keys, handles and chunks.
 *
 *     faaslet::state::AsyncVector<float> weights("weights", 1 << 16, faaslet::state::Rule::sum);
 *     weights[3] += 0.5f;      // seen by all functions of this host at once
 *     weights.push();          // by other hosts, when they pull
 *
 * There are no exceptions here: an object that could not be opened is false in a condition, and
 * error() says why.
 */
#ifndef FAASLET_STATE_HPP
#define FAASLET_STATE_HPP

#include "faaslet_state.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace faaslet::state {

/* The number of a C++ type as the element of a value. */
template <typename T> constexpr uint8_t element_of() {
  static_assert(std::is_arithmetic_v<T>, "values are arrays of numbers");
  if constexpr (std::is_same_v<T, float>) return FAASLET_F32;
  else if constexpr (std::is_same_v<T, double>) return FAASLET_F64;
  else {
    constexpr uint8_t width = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return static_cast<uint8_t>((std::is_signed_v<T> ? FAASLET_I8 : FAASLET_U8) + width);
  }
}

enum class Rule : uint8_t { replace, sum, min, max, bit_and, bit_or, bit_xor };

/* The host's words about the last refusal. */
inline std::string error() {
  std::string text(512, '\0');
  int32_t length = faaslet_state_error_bytes(text.data(), static_cast<uint32_t>(text.size()));
  text.resize(length < 0 ? 0 : std::min<size_t>(static_cast<size_t>(length), text.size()));
  return text;
}

/* An open value, closed when it goes. */
class Value {
public:
  Value() = default;
  Value(const std::string &key, const faaslet_state_spec *spec)
      : handle_(faaslet_state_open_bytes(key.data(), static_cast<uint32_t>(key.size()), spec)) {}
  Value(Value &&other) noexcept : handle_(std::exchange(other.handle_, -1)) {}
  Value &operator=(Value &&other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Value() {
    if (handle_ >= 0) faaslet_state_close(handle_);
  }

  explicit operator bool() const { return handle_ >= 0; }
  int32_t handle() const { return handle_; }
  uint64_t bytes() const {
    struct faaslet_state_stat stat = {};
    return faaslet_state_stat(handle_, &stat) < 0 ? 0 : stat.len;
  }
  bool pull() const { return faaslet_state_pull(handle_) >= 0; }
  bool push() const { return faaslet_state_push(handle_) >= 0; }

private:
  int32_t handle_ = -1;
};

/* Elements of a value as memory, unmapped when they go. */
template <typename T> class Mapped {
public:
  Mapped() = default;
  Mapped(const Value &value, size_t at, size_t count, faaslet_map_mode mode)
      : data_(static_cast<T *>(faaslet_state_map(value.handle(), static_cast<int64_t>(at * sizeof(T)),
                                                 static_cast<uint32_t>(count * sizeof(T)), mode))),
        size_(data_ ? count : 0) {}
  Mapped(Mapped &&other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapped &operator=(Mapped &&other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapped() {
    if (data_) faaslet_state_unmap(const_cast<std::remove_const_t<T> *>(data_));
  }

  explicit operator bool() const { return data_ != nullptr; }
  T *data() const { return data_; }
  size_t size() const { return size_; }
  T &operator[](size_t index) const { return data_[index]; }
  T *begin() const { return data_; }
  T *end() const { return data_ + size_; }

private:
  T *data_ = nullptr;
  size_t size_ = 0;
};

/* A vector that functions of all hosts write without waiting for each other. */
template <typename T> class AsyncVector {
public:
  AsyncVector(const std::string &key, size_t size, Rule rule = Rule::replace) {
    faaslet_state_spec spec = {};
    spec.quota_bytes = size * sizeof(T);
    spec.element = element_of<T>();
    spec.rule = static_cast<uint8_t>(rule);
    value_ = Value(key, &spec);
    if (!value_) return;
    if (value_.bytes() < spec.quota_bytes &&
        faaslet_state_grow(value_.handle(), static_cast<int64_t>(spec.quota_bytes)) < 0)
      return;
    elements_ = Mapped<T>(value_, 0, size, FAASLET_MAP_WRITE);
  }

  explicit operator bool() const { return static_cast<bool>(elements_); }
  size_t size() const { return elements_.size(); }
  T &operator[](size_t index) const { return elements_[index]; }
  T *begin() const { return elements_.begin(); }
  T *end() const { return elements_.end(); }
  /* Sends what this host changed; brings what others pushed. */
  bool push() const { return value_.push(); }
  bool pull() const { return value_.pull(); }
  /* Adds, or whatever the rule says, to one element in one step: none is lost. */
  bool merge(size_t index, T amount) const {
    return faaslet_state_merge(value_.handle(), static_cast<int64_t>(index * sizeof(T)), &amount,
                               sizeof amount) >= 0;
  }
  const Value &value() const { return value_; }

private:
  Value value_;
  Mapped<T> elements_;
};

/* A matrix that is written once, row after row, and then read: its rows are pulled as they are
 * asked for. The value holds the elements alone, the shape is the caller's. */
template <typename T> class ReadOnlyMatrix {
public:
  ReadOnlyMatrix(const std::string &key, size_t columns) : value_(key, nullptr), columns_(columns) {
    if (value_ && columns > 0) rows_ = value_.bytes() / sizeof(T) / columns;
  }

  /* Writes and pushes a matrix. */
  static bool create(const std::string &key, size_t rows, size_t columns, const T *elements) {
    faaslet_state_spec spec = {};
    spec.quota_bytes = rows * columns * sizeof(T);
    spec.element = element_of<T>();
    Value value(key, &spec);
    return value && faaslet_state_write(value.handle(), 0, elements, static_cast<uint32_t>(spec.quota_bytes)) >= 0 &&
           value.push();
  }

  explicit operator bool() const { return static_cast<bool>(value_); }
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  /* Rows as memory; false in a condition when there are no such rows. */
  Mapped<const T> map(size_t first, size_t count) const {
    if (first > rows_ || count > rows_ - first) return {};
    return Mapped<const T>(value_, first * columns_, count * columns_, FAASLET_MAP_READ);
  }

private:
  Value value_;
  size_t columns_, rows_ = 0;
};

/* A sparse matrix in compressed rows, written once: values under key/rows, key/columns and
 * key/values, as the Rust SDK has them. */
template <typename T> class ReadOnlySparseMatrix {
public:
  explicit ReadOnlySparseMatrix(const std::string &key)
      : starts_(key + "/rows", nullptr), columns_(key + "/columns", nullptr), values_(key + "/values", nullptr) {
    if (starts_) rows_ = starts_.bytes() / sizeof(uint64_t);
    if (rows_ > 0) rows_--;
  }

  /* Rows that are mapped. */
  struct Rows {
    std::vector<uint64_t> starts;
    Mapped<const uint32_t> columns;
    Mapped<const T> values;

    explicit operator bool() const { return columns && values; }
    size_t size() const { return starts.empty() ? 0 : starts.size() - 1; }
    size_t begin(size_t row) const { return starts[row] - starts[0]; }
    size_t end(size_t row) const { return starts[row + 1] - starts[0]; }
  };

  static bool create(const std::string &key, const std::vector<std::vector<std::pair<uint32_t, T>>> &rows) {
    std::vector<uint64_t> starts = {0};
    std::vector<uint32_t> columns;
    std::vector<T> values;
    for (const auto &row : rows) {
      for (const auto &[column, value] : row) {
        columns.push_back(column);
        values.push_back(value);
      }
      starts.push_back(columns.size());
    }
    /* The starts last, so that whoever finds them finds the rest. */
    return write(key + "/columns", columns) && write(key + "/values", values) && write(key + "/rows", starts);
  }

  explicit operator bool() const { return starts_ && columns_ && values_; }
  size_t rows() const { return rows_; }
  /* Rows as memory; false in a condition when there are none. */
  Rows map(size_t first, size_t count) const {
    Rows rows;
    if (first > rows_ || count > rows_ - first) return rows;
    rows.starts.resize(count + 1);
    const auto bytes = static_cast<uint32_t>(rows.starts.size() * sizeof(uint64_t));
    const auto at = static_cast<int64_t>(first * sizeof(uint64_t));
    if (faaslet_state_read(starts_.handle(), at, rows.starts.data(), bytes) != static_cast<int32_t>(bytes)) return {};
    const uint64_t from = rows.starts.front(), to = rows.starts.back();
    if (to < from) return {};
    rows.columns = Mapped<const uint32_t>(columns_, from, to - from, FAASLET_MAP_READ);
    rows.values = Mapped<const T>(values_, from, to - from, FAASLET_MAP_READ);
    return rows;
  }

private:
  template <typename E> static bool write(const std::string &key, const std::vector<E> &elements) {
    faaslet_state_spec spec = {};
    spec.quota_bytes = std::max<uint64_t>(elements.size() * sizeof(E), sizeof(E));
    spec.element = element_of<E>();
    Value value(key, &spec);
    const auto bytes = static_cast<uint32_t>(elements.size() * sizeof(E));
    return value && faaslet_state_write(value.handle(), 0, elements.data(), bytes) >= 0 && value.push();
  }

  Value starts_, columns_, values_;
  size_t rows_ = 0;
};

/* A lock that is held; given back when it goes. FAASLET_GLOBAL_WRITE takes back what was not
 * pushed: push first. */
class Guard {
public:
  Guard(const Value &value, faaslet_lock kind, int64_t milliseconds = -1)
      : handle_(value.handle()), kind_(kind), status_(faaslet_state_lock_for(handle_, kind, milliseconds)) {}
  Guard(const Guard &) = delete;
  Guard &operator=(const Guard &) = delete;
  ~Guard() {
    if (status_ >= 0) faaslet_state_unlock(handle_, kind_);
  }

  explicit operator bool() const { return status_ >= 0; }
  /* The last writer never gave the lock back. */
  bool was_abandoned() const { return status_ == 1; }
  int32_t status() const { return status_; }

private:
  int32_t handle_;
  faaslet_lock kind_;
  int32_t status_;
};

} // namespace faaslet::state

#endif
