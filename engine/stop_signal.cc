#include "engine/stop_signal.h"

#include <csignal>
#include <initializer_list>

namespace ingot {
namespace {

volatile std::sig_atomic_t stop_signal = 0;

void on_signal(int signal) { stop_signal = signal; }

void install(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignal::StopSignal() {
  stop_signal = 0;
  // RESETHAND: the second signal meets the default action, for those who won't wait.
  for (const int signal : {SIGINT, SIGTERM}) install(signal, on_signal, SA_RESETHAND | SA_RESTART);
}

StopSignal::~StopSignal() {
  for (const int signal : {SIGINT, SIGTERM}) install(signal, SIG_DFL, 0);
}

int StopSignal::received() const { return stop_signal; }

}  // namespace ingot
