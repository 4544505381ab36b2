// A reference to something callable: two words, no heap, no copy. For parameters of functions that
// call it before they return; what it refers to must live until then.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace ingot {

template <typename Signature>
class FunctionRef;

template <typename Result, typename... Arguments>
class FunctionRef<Result(Arguments...)> {
 public:
  template <typename Callable>
  requires(!std::same_as<std::remove_cvref_t<Callable>, FunctionRef> &&
           std::is_invocable_r_v<Result, Callable&, Arguments...> &&
           std::is_object_v<std::remove_reference_t<Callable>>)
      FunctionRef(
          Callable&& callable)  // implicit: a lambda is passed where a FunctionRef is asked for
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Arguments... arguments) -> Result {
          return (*static_cast<std::remove_reference_t<Callable>*>(object))(
              std::forward<Arguments>(arguments)...);
        }) {}

  Result operator()(Arguments... arguments) const {
    return call_(object_, std::forward<Arguments>(arguments)...);
  }

 private:
  void* object_;
  Result (*call_)(void*, Arguments...);
};

}  // namespace ingot
