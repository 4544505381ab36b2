#include "tools/plan/svg.h"

#include <fmt/format.h>
#include <cmath>
#include <cstdint>
#include <utility>

namespace ingot {
namespace {

// Length of the UTF-8 character that starts at text[i]; 0: there is none.
std::size_t character_at(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
  const std::uint8_t first = byte(i);
  const std::size_t length = first < 0x80                     ? 1
                             : first >= 0xc2 && first <= 0xdf ? 2
                             : first >= 0xe0 && first <= 0xef ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
  if (length == 0 || i + length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and the two code points that XML forbids.
  if (first == 0xe0 && byte(i + 1) < 0xa0) return 0;
  if (first == 0xed && byte(i + 1) > 0x9f) return 0;
  if (first == 0xef && byte(i + 1) == 0xbf && byte(i + 2) >= 0xbe) return 0;
  if (first == 0xf0 && byte(i + 1) < 0x90) return 0;
  if (first == 0xf4 && byte(i + 1) > 0x8f) return 0;
  return length;
}

std::string attribute(std::string_view name, double value) {
  return " " + std::string(name) + "=\"" + coordinate(value) + "\"";
}

std::string attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + std::string(value) + "\"";
}

}  // namespace

std::string xml_escaped(std::string_view text) {
  std::string escaped;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_at(text, i);
    const auto c = static_cast<unsigned char>(text[i]);
    if (length == 0 || c < 0x20 || c == 0x7f) {
      escaped += '?';
    } else if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '"') {
      escaped += "&quot;";
    } else if (c == '\'') {
      escaped += "&apos;";
    } else {
      escaped += text.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return escaped;
}

std::string coordinate(double value) {
  std::string digits = fmt::format("{:.2f}", value);
  while (digits.back() == '0') digits.pop_back();
  if (digits.back() == '.') digits.pop_back();
  return digits == "-0" ? "0" : digits;
}

std::vector<double> round_ticks(double most, int count) {
  const double rough = most / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (rough <= factor * power) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks = {0};
  while (ticks.back() < most) ticks.push_back(step * static_cast<double>(ticks.size()));
  return ticks;
}

Svg::Svg(double width, double height, std::string_view title) {
  body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\"" + attribute("width", width) +
          attribute("height", height) + " viewBox=\"0 0 " + coordinate(width) + " " +
          coordinate(height) + "\" font-family=\"Inter, 'Helvetica Neue', Arial, sans-serif\">\n" +
          "<title>" + xml_escaped(title) + "</title>\n";
  rectangle(0, 0, width, height, "#ffffff");
}

void Svg::rectangle(double x, double y, double width, double height, std::string_view color) {
  body_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) +
           attribute("height", height) + attribute("fill", color) + "/>\n";
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view color, double width,
               std::string_view dashes) {
  body_ += "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
           attribute("y2", y2) + attribute("stroke", color) + attribute("stroke-width", width);
  if (!dashes.empty()) body_ += attribute("stroke-dasharray", dashes);
  body_ += "/>\n";
}

void Svg::circle(double x, double y, double radius, std::string_view color) {
  body_ += "<circle" + attribute("cx", x) + attribute("cy", y) + attribute("r", radius) +
           attribute("fill", color) + "/>\n";
}

void Svg::text(double x, double y, std::string_view words, const TextStyle& style) {
  body_ += "<text" + attribute("x", x) + attribute("y", y) + attribute("font-size", style.size) +
           attribute("fill", style.color);
  if (style.anchor != "start") body_ += attribute("text-anchor", style.anchor);
  if (style.bold) body_ += attribute("font-weight", "600");
  if (style.fixed_width) {
    body_ += attribute("font-family", "ui-monospace, 'DejaVu Sans Mono', monospace");
  }
  if (style.turned != 0) {
    body_ += " transform=\"rotate(" + coordinate(style.turned) + " " + coordinate(x) + " " +
             coordinate(y) + ")\"";
  }
  body_ += ">" + xml_escaped(words) + "</text>\n";
}

void Svg::area(const std::string& data, std::string_view color, std::string_view tip) {
  body_ += "<path" + attribute("d", data) + attribute("fill", color) + "><title>" +
           xml_escaped(tip) + "</title></path>\n";
}

void Svg::curve(const std::string& data, std::string_view color, double width,
                std::string_view dashes) {
  body_ += "<path" + attribute("d", data) + " fill=\"none\" stroke-linejoin=\"round\"" +
           attribute("stroke", color) + attribute("stroke-width", width);
  if (!dashes.empty()) body_ += attribute("stroke-dasharray", dashes);
  body_ += "/>\n";
}

std::string Svg::finish() && {
  body_ += "</svg>\n";
  return std::move(body_);
}

}  // namespace ingot
