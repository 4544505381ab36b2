// libingot_mpi.so.
#include <mpi.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "parallel/communicators/mpi/mpi_functions.h"

namespace ingot {
namespace {

// MPI counts in int; messages of more bytes go in pieces.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;

MPI_Comm world = MPI_COMM_NULL;

// The messages of one tag.
struct Channel {
  int tag = 0;
  std::vector<MPI_Request> requests;
  std::string error;  // of what is under way; "": none so far
};
std::vector<Channel> channels;
std::string start_error;

bool failed(int code, std::string& error) {
  if (code == MPI_SUCCESS) return false;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  error.assign(text, static_cast<std::size_t>(length));
  return true;
}

const char* start(int* rank, int* size, int* ranks_here) {
  int provided = 0;
  const int begun = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (failed(begun, start_error)) return start_error.c_str();
  if (provided < MPI_THREAD_FUNNELED) return "this MPI was built without threads";
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm here = MPI_COMM_NULL;
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, size);
  const int split =
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, *rank, MPI_INFO_NULL, &here);
  if (failed(split, start_error)) return start_error.c_str();
  MPI_Comm_size(here, ranks_here);
  MPI_Comm_free(&here);
  if (failed(MPI_Comm_dup(MPI_COMM_WORLD, &world), start_error)) return start_error.c_str();
  MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
  return nullptr;
}

void finish() {
  MPI_Comm_free(&world);
  MPI_Finalize();
}

int new_channel(int tag) {
  channels.push_back({.tag = tag, .requests = {}, .error = ""});
  return static_cast<int>(channels.size()) - 1;
}

template <class Post>
void post(Channel& channel, const MpiMessage& message, Post post_piece) {
  for (std::int64_t first = 0; first < message.count; first += kMostBytes) {
    const auto count = static_cast<int>(std::min(kMostBytes, message.count - first));
    channel.requests.emplace_back(MPI_REQUEST_NULL);
    failed(post_piece(message.bytes + first, count, &channel.requests.back()), channel.error);
  }
}

void begin(int number, const MpiMessage* out, int sends, const MpiMessage* in, int receives) {
  Channel& channel = channels[number];
  channel.requests.clear();
  channel.error.clear();
  for (int i = 0; i < receives; ++i) {
    post(channel, in[i], [&](std::byte* bytes, int count, MPI_Request* request) {
      return MPI_Irecv(bytes, count, MPI_BYTE, in[i].peer, channel.tag, world, request);
    });
  }
  for (int i = 0; i < sends; ++i) {
    post(channel, out[i], [&](std::byte* bytes, int count, MPI_Request* request) {
      return MPI_Isend(bytes, count, MPI_BYTE, out[i].peer, channel.tag, world, request);
    });
  }
}

int done(int number) {
  Channel& channel = channels[number];
  if (!channel.error.empty()) return -1;
  int all = 0;
  const auto count = static_cast<int>(channel.requests.size());
  const int tested = MPI_Testall(count, channel.requests.data(), &all, MPI_STATUSES_IGNORE);
  return failed(tested, channel.error) ? -1 : all;
}

const char* error(int number) { return channels[number].error.c_str(); }

void cancel(int number) {
  for (MPI_Request& request : channels[number].requests) {
    if (request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
}

void abort_all(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

}  // namespace
}  // namespace ingot

const ingot::MpiFunctions* ingot_mpi_functions() {
  static const ingot::MpiFunctions functions{.start = ingot::start,
                                             .finish = ingot::finish,
                                             .new_channel = ingot::new_channel,
                                             .begin = ingot::begin,
                                             .done = ingot::done,
                                             .error = ingot::error,
                                             .cancel = ingot::cancel,
                                             .abort = ingot::abort_all};
  return &functions;
}
