// StreamTokenizer in, one StringBuilder out: the usual way to be fast in Java.
import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.StreamTokenizer;
import java.util.Arrays;

public class Sort {
  public static void main(String[] args) throws IOException {
    StreamTokenizer in = new StreamTokenizer(
        new BufferedReader(new InputStreamReader(new BufferedInputStream(System.in))));
    in.nextToken();
    int[] values = new int[(int) in.nval];
    for (int i = 0; i < values.length; ++i) {
      in.nextToken();
      values[i] = (int) in.nval;
    }
    Arrays.sort(values);
    StringBuilder out = new StringBuilder();
    for (int value : values) out.append(value).append(' ');
    System.out.println(out);
  }
}
