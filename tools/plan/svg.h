// Drawings as SVG text: a few shapes, words that may hold any character, axes with round numbers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot {

// Text as XML content or attribute: & < > " ' are written as entities, control characters and bytes
// that are no UTF-8 become '?'.
std::string xml_escaped(std::string_view text);

// Coordinates are pixels, y downwards. Colors and styles are CSS text, not escaped: the program's
// own words, never a file's.
class Svg {
 public:
  Svg(double width, double height, std::string_view title);

  struct TextStyle {
    std::string_view anchor = "start";  // start, middle, end
    double size = 12;
    std::string_view color = "#24292f";
    bool bold = false;
    bool fixed_width = false;
    double turned = 0;  // degrees, clockwise, around its place
  };

  void rectangle(double x, double y, double width, double height, std::string_view color);
  void line(double x1, double y1, double x2, double y2, std::string_view color, double width = 1,
            std::string_view dashes = "");
  void circle(double x, double y, double radius, std::string_view color);
  void text(double x, double y, std::string_view words, const TextStyle& style);
  void text(double x, double y, std::string_view words) { text(x, y, words, TextStyle()); }
  // The path data language of SVG ("M 1 2 H 3 V 4 Z"). A browser shows `tip` at the mouse.
  void area(const std::string& data, std::string_view color, std::string_view tip = "");
  void curve(const std::string& data, std::string_view color, double width,
             std::string_view dashes = "");

  // The whole document.
  std::string finish() &&;

 private:
  std::string body_;
};

// Numbers for path data: short, two decimals.
std::string coordinate(double value);

// Round numbers (1, 2, 2.5 or 5 times a power of ten apart) from 0 to at least `most`, some
// `count` of them. most > 0.
std::vector<double> round_ticks(double most, int count);

}  // namespace ingot
